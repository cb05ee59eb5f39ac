"""`images`: the prover images that are kept, why each stays, and the removal of those that nobody needs."""
# ruff: noqa: PLC0415 - `--help` and completion must not load pydantic and temporalio

import shlex
import socket
from typing import TYPE_CHECKING, Any

import click

from starter.cli import confirmation, options

if TYPE_CHECKING:
    from domain.images import ImagesReport
    from domain.spec import ClusterSpec
    from starter.cli.invocation import Invocation

SETTINGS = ("IMAGE_REPO", "IMAGE_HOST", "IMAGE_HOST_ALIAS", "IMAGE_PUSH_AUTH", "BACKEND_HOST")
PLACE = "--image-repo registry.example.com:5000/prover"


@options.command("images", f"proverctl images {PLACE}", "proverctl images --env-file provers.env --prune --keep 5")
@click.option("--prune", is_flag=True, help="Remove the images that nothing keeps; they are listed first.")
@click.option(
    "--keep",
    default="10",
    show_default=True,
    metavar="N",
    help="Keep the newest N, even when no deployment names them.",
)
@options.setting(options.by_name("IMAGE_REPO"))
@options.setting(options.by_name("IMAGE_HOST"))
@options.setting(options.by_name("IMAGE_HOST_ALIAS"))
@options.setting(options.by_name("IMAGE_PUSH_AUTH"))
@options.setting(options.by_name("BACKEND_HOST"))
@options.everywhere
def images_command(prune: bool, keep: str, **params: Any) -> None:
    """List prover images at the registry and on the backend host; remove old ones.

    An image stays while the release history of any deployment names it. With --prune on a terminal you type the
    repository's name to confirm; elsewhere it needs --yes. The registry frees the space when its own garbage
    collection runs.
    """
    from planning.settings.spec import count, images_spec
    from starter.cli.invocation import invocation

    asked = invocation(params)
    spec = asked.validated(
        lambda: images_spec(asked.values, seen_on=socket.gethostname()),
        lambda: count(keep, "--keep"),
    )
    example = _again(asked, "--prune", "--keep", keep, "--yes")
    confirmation.require_terminal("images --prune", example, confirmed=asked.yes or not prune)
    if prune and not asked.yes and not _confirmed(asked, spec, int(keep)):
        return
    report = _report(asked, spec, int(keep), prune=prune)
    _present(asked, report)
    if prune:
        _tell_removed(spec, report)


def _again(asked: "Invocation", *words: str) -> str:
    """Return a command line about the same images, for the user to copy."""
    line = ["proverctl", "images", *words]
    for one in map(options.by_name, SETTINGS):
        if asked.flags.get(one.name) and not one.masked:
            line += [one.flag, asked.flags[one.name]]
    return shlex.join([*line, *(["--env-file", asked.env_file] if asked.env_file else [])])


def _report(asked: "Invocation", spec: "ClusterSpec", keep: int, *, prune: bool) -> "ImagesReport":
    from starter.temporal import session
    from starter.temporal.image_references import survey

    what = "the removal" if prune else "the survey"
    return session.run(asked, survey(asked, spec, keep, prune=prune), look=_again(asked), what=what)


def _confirmed(asked: "Invocation", spec: "ClusterSpec", keep: int) -> bool:
    """Ask the user, with the images that would go; return False when there is nothing to remove."""
    from planning.text.sizes import counted
    from starter.cli import terminal

    report = _report(asked, spec, keep, prune=False)
    doomed = [image for image in report.images if not image.kept]
    if not doomed:
        _present(asked, report)
        terminal.note("nothing is to be removed: each image is named, or among the newest")
        return False
    terminal.note(_table(report))
    confirmation.confirm(
        f"Type the repository to remove {counted(len(doomed), 'image')}", spec.image.repository, "nothing was removed"
    )
    return True


def _present(asked: "Invocation", report: "ImagesReport") -> None:
    from starter.cli import terminal

    terminal.warn(report.warnings)
    terminal.data(report.model_dump(mode="json"), asked.output, _table(report))


def _table(report: "ImagesReport") -> str:
    from planning.text.sizes import size
    from starter.cli import terminal

    if not report.images:
        return "no images"
    rows = [["WHERE", "TAGS", "DIGEST", "COMMIT", "SIZE", "CREATED", "STAYS"]]
    for image in report.images:
        stays = "removed" if image.removed else image.kept or "no: --prune removes it"
        digest = image.digest.removeprefix("sha256:")[:12]
        tags = ", ".join(image.tags)
        rows.append([image.place, tags, digest, image.commit[:7] or "-", size(image.size), image.created or "-", stays])
    return terminal.table(rows)


def _tell_removed(spec: "ClusterSpec", report: "ImagesReport") -> None:
    from planning.text.sizes import counted
    from starter.cli import terminal

    terminal.note(f"removed {counted(report.removed, 'image')}")
    if any(image.removed and image.place == "registry" for image in report.images):
        terminal.note(f"{spec.image.push_host} frees their space when its own garbage collection runs")
