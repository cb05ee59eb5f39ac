"""`backend validate` and `backend graph`: read a profile without a worker; with `--host` a worker checks it."""
# ruff: noqa: PLC0415 - `--help` and completion must not load pydantic

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from starter.cli import options

if TYPE_CHECKING:
    from domain.profile import Profile
    from starter.cli.invocation import Invocation

DEFAULT = "proverctl.yaml"


@options.command(
    "validate", "proverctl backend validate fluidex", "proverctl backend validate --host --backend-repo ~/fluidex"
)
@click.argument("file", required=False)
@click.option("--host", is_flag=True, help="Have the worker look for programs, functions and files on its host.")
@options.backend
def validate_command(file: str | None, host: bool, **params: Any) -> None:
    """Check the profile; contacts nothing without --host.

    FILE is a path or the name of a bundled profile, by default BACKEND_PROFILE. Programs, functions and files are not
    checked: `backend up` checks those of the steps that it runs, --host those of all steps, by the worker on the
    machine that has the repository.
    """
    from planning.text.sizes import counted
    from starter.cli import terminal

    if host:
        _validate_on_host(file, params)
        return

    asked, path, profile = _read(params, file)
    value = {"file": str(path), "profile": profile.name, "steps": [step.name for step in profile.steps]}
    count = counted(len(profile.steps), "step")
    terminal.data(value, asked.output, f"{path}: profile {profile.name} with {count}, nothing wrong with it")
    terminal.note("Programs, functions and files were not looked for. On the worker's host: " + _by_host(file))


def _by_host(file: str | None) -> str:
    return " ".join(["proverctl backend validate --host", *([file] if file else [])])


def _validate_on_host(file: str | None, params: dict[str, Any]) -> None:
    from domain.messages.backend import ProgramSearch
    from planning.settings.spec import backend_spec
    from starter.cli import terminal
    from starter.cli.invocation import invocation
    from starter.temporal import session
    from starter.temporal.backend_updates import profile

    asked = invocation(params, {"BACKEND_PROFILE": file} if file else None)
    spec = asked.validated(lambda: backend_spec(asked.values))

    async def work() -> None:
        async with session.session(asked, session.backend_queues(spec.backend.host)) as client:
            found = await profile(client, spec, programs=ProgramSearch(every=True))
        steps = [step.name for step in found.profile.steps]
        value = {"profile": found.profile.name, "repo": found.repo, "steps": steps, "left_out": found.left_out}
        said = f"profile {found.profile.name} in {found.repo}: nothing wrong with it, and no program lacks"
        terminal.data(value, asked.output, said)

    session.run(asked, work(), look=_by_host(file))


@options.command("graph", "proverctl backend graph", "proverctl backend graph fluidex --format mermaid")
@click.argument("file", required=False)
@click.option("--format", "form", type=click.Choice(["text", "mermaid"]), default="text", help="Format of the drawing.")
@options.settings("backend", but=["BACKEND_HOST", "CIRCUIT_DIR"])
@options.everywhere
def graph_command(file: str | None, form: str, **params: Any) -> None:
    """Draw the steps and what they need; contacts nothing.

    FILE is a path or the name of a bundled profile, by default BACKEND_PROFILE. As text the steps are in layers:
    those of one layer may run at the same time.
    """
    from planning.backend import graph_drawing
    from starter.cli import terminal

    asked, _, profile = _read(params, file)
    value = [
        {
            "name": step.name,
            "kind": step.kind,
            "needs": step.needs,
            "simulated": step.simulated,
            "values": [*step.values],
        }
        for step in profile.steps
    ]
    draw = {"text": graph_drawing.as_text, "mermaid": graph_drawing.as_mermaid}[form]
    terminal.data({"profile": profile.name, "steps": value}, asked.output, draw(profile))


def _read(params: dict[str, Any], file: str | None) -> "tuple[Invocation, Path, Profile]":
    """Read and check the profile of this command line; raise SettingsInvalid with all its problems."""
    from domain.errors import SettingsInvalid
    from planning.backend.profile_parser import read
    from planning.backend.profile_validation import faults
    from starter.cli.invocation import invocation

    asked = invocation(params, {"BACKEND_PROFILE": file} if file else None)
    path = asked.validated(lambda: _path(asked.values.get("BACKEND_REPO", ""), asked.values.get("BACKEND_PROFILE", "")))
    text = read(_content(path), str(path))
    found = [*text.faults, *(faults(text.profile) if text.profile else [])]
    if text.profile is None or found:
        raise SettingsInvalid(text.sentences(found))
    return asked, path, text.profile


def _path(repo: str, wanted: str) -> Path:
    from domain.errors import SettingsInvalid
    from planning.settings.checks import is_url
    from profiles import bundled, is_name, names

    if not wanted and is_url(repo):
        raise SettingsInvalid(
            [f"BACKEND_REPO={repo!r} is not here, and this contacts nothing: name the profile's file."]
        )
    if not is_name(wanted):
        return Path(repo) / (wanted or DEFAULT)
    path = bundled(wanted)
    if path is None:
        raise SettingsInvalid([f"BACKEND_PROFILE={wanted}: there is no such profile, only {', '.join(names())}."])
    return path


def _content(path: Path) -> str:
    from domain.errors import SettingsInvalid

    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid([f"BACKEND_PROFILE={str(path)!r} cannot be read: {error}."]) from error
