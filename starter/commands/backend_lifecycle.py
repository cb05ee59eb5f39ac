"""`backend up`, `restart`, `stop`, `purge`: bring a backend to a desired state, whatever is there already."""
# ruff: noqa: PLC0415 - `--help` and completion must not load pydantic and temporalio

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from starter.cli import confirmation, options

if TYPE_CHECKING:
    from temporalio.client import Client

    from domain.messages.backend import BackendInput, LoadedProfile
    from domain.spec import ClusterSpec
    from starter.cli.invocation import Invocation


@options.command(
    "up", "proverctl backend up", "proverctl backend up --simulated --backend-repo ~/fluidex --backend-profile fluidex"
)
@click.option("--real/--simulated", default=True, help="Run without simulated data (default), or with it.")
@click.option("--force", is_flag=True, help="Stop everything first; its data stays.")
@click.option(
    "--redo", multiple=True, metavar="STEP", help="Run this step again, even with unchanged inputs; repeatable."
)
@options.backend
def up_command(real: bool, force: bool, redo: tuple[str, ...], **params: Any) -> None:
    """Set the backend up and keep it running.

    Runs the steps of the profile that are not done yet, and starts what does not run. On a backend that is up it
    changes what differs; --real then stops the simulated data.

    Outputs that exist, such as keys, are kept. --redo STEP makes those of a step again: it stops the step and runs it,
    which may delete its outputs first. Steps that need it run again only if their own inputs changed.
    """
    from domain.spec import BackendMode
    from starter.cli.invocation import backend_invocation

    asked, spec = backend_invocation(params)
    mode = BackendMode.REAL if real else BackendMode.SIMULATED
    words = ["up", *([] if real else ["--simulated"])]

    async def work(client: "Client") -> None:
        from starter.temporal.backend_updates import profile, require_steps

        # With a mode, a BACKEND_REPO apart from any work tree is checked out, too.
        loaded = await profile(client, spec.model_copy(update={"backend_mode": mode}))
        require_steps(redo, [step.name for step in loaded.profile.steps], loaded.profile.name)
        request = _request(spec, loaded.profile.name, mode=mode, force=force, redo=list(dict.fromkeys(redo)))
        next_ = {"Look at it": asked.again_backend("status"), "Stop it": asked.again_backend("stop")}
        done = f"its data is {'real' if real else 'simulated'}"
        await _converge(client, asked, request, " ".join(words), done, next_)

    _run(asked, spec, work)


@options.command("restart", "proverctl backend restart coordinator", "proverctl backend restart matchengine rollup")
@click.argument("steps", nargs=-1, required=True, metavar="STEP...")
@options.backend
def restart_command(steps: tuple[str, ...], **params: Any) -> None:
    """Stop these steps and run them again.

    They run again even with unchanged inputs, as do the steps that need them to keep running. Others are not touched.
    """
    from starter.cli.invocation import backend_invocation

    asked, spec = backend_invocation(params)

    async def work(client: "Client") -> None:
        from starter.temporal.backend_updates import profile, require_steps, running

        loaded = await profile(client, spec)
        report = await running(client, asked, spec, loaded.profile.name)
        require_steps(steps, [step.name for step in loaded.profile.steps], loaded.profile.name)
        request = _request(spec, loaded.profile.name, mode=report.mode, restart=list(dict.fromkeys(steps)))
        next_ = {"Look at it": asked.again_backend("status")}
        await _converge(client, asked, request, f"restart {' '.join(steps)}", ", ".join(steps), next_)

    _run(asked, spec, work)


@options.command("stop", "proverctl backend stop", "proverctl backend stop --name fluidex")
@click.option("--name", help="Name in the profile, where the profile itself is gone or cannot be read.")
@options.backend
def stop_command(name: str | None, **params: Any) -> None:
    """Stop the backend; its data stays.

    Everything that it started ends, in reverse order, by what was recorded when it was started.
    """
    from domain.spec import BackendMode
    from starter.cli.invocation import backend_invocation

    asked, spec = backend_invocation(params, name)

    async def work(client: "Client") -> None:
        from starter.temporal.backend_updates import profile_name

        known = await profile_name(client, spec, name)
        next_ = {"Delete its data": asked.again_backend("purge"), "Start it again": asked.again_backend("up")}
        await _converge(client, asked, _request(spec, known, mode=BackendMode.NONE), "stop", "its data stays", next_)

    _run(asked, spec, work)


@options.command("purge", "proverctl backend purge", "proverctl backend purge --yes")
@options.backend
def purge_command(**params: Any) -> None:
    """Stop the backend and delete its data.

    Deletes what the profile declares, inside the backend's own directories, and what proverctl recorded of it. It
    lists that first; on a terminal you type the profile's name to confirm, elsewhere it needs --yes.
    """
    from domain.spec import BackendMode
    from starter.cli.invocation import backend_invocation
    from starter.temporal import session

    asked, spec = backend_invocation(params)
    confirmation.require_terminal("purge", asked.again_backend("purge", "--yes"), confirmed=asked.yes)
    loaded = session.run(asked, load_profile(asked, spec), look=asked.again_backend("status"))
    show_purge(loaded)
    name = loaded.profile.name
    if not asked.yes:
        confirmation.confirm("Type the profile's name to delete this", name, "nothing was stopped or deleted")

    async def work(client: "Client") -> None:
        request = _request(spec, name, mode=BackendMode.NONE, purge=True)
        await _converge(client, asked, request, "purge", "its data is gone", {"Begin anew": asked.again_backend("up")})

    _run(asked, spec, work)


async def load_profile(asked: "Invocation", spec: "ClusterSpec") -> "LoadedProfile":
    """Read the profile as the backend host sees it."""
    from starter.temporal import session
    from starter.temporal.backend_updates import profile

    async with session.session(asked, session.backend_queues(spec.backend.host)) as client:
        return await profile(client, spec)


def show_purge(loaded: "LoadedProfile") -> None:
    """List what a purge deletes."""
    from starter.cli import terminal
    from starter.views import backend

    terminal.note(f"This stops backend {loaded.profile.name} and deletes, in {loaded.repo}:")
    for one in backend.purged_by(loaded.profile):
        terminal.note(f"  {one}")


def _request(spec: "ClusterSpec", name: str, **wanted: Any) -> "BackendInput":
    from domain.messages.backend import BackendInput

    return BackendInput(backend=spec.backend, spec=spec, profile_name=name, **wanted)


def _run(asked: "Invocation", spec: "ClusterSpec", work: "Callable[[Client], Any]") -> None:
    from starter.temporal import session

    async def connected() -> None:
        async with session.session(asked, session.backend_queues(spec.backend.host)) as client:
            await work(client)

    session.run(asked, connected(), look=asked.again_backend("status"))


async def _converge(
    client: "Client", asked: "Invocation", request: "BackendInput", title: str, done: str, following: dict[str, str]
) -> None:
    from domain import names
    from starter.temporal import session
    from starter.temporal.backend_updates import converge
    from starter.views.backend_outcome import present

    report = await converge(client, asked, request, title.split(maxsplit=1)[0])
    if report:
        ui = session.ui_page(client, asked, names.backend_id(request.backend.host, request.profile_name))
        present(asked, report, ui, title, done, following)
