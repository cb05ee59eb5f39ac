"""`scale`, `reset-endpoint`, `tear-down`: change or end what runs."""
# ruff: noqa: PLC0415 - `--help` and completion must not load pydantic and temporalio

from typing import TYPE_CHECKING, Any

import click

from starter.cli import confirmation, exits, options

if TYPE_CHECKING:
    from temporalio.client import Client

    from domain.commands import Receipt, ResetEndpoint, Scale, TearDown
    from domain.spec import ClusterSpec
    from starter.cli.invocation import Invocation


@options.command(
    "scale",
    "proverctl scale 4 -n provers",
    "proverctl scale 0 -n provers --no-wait",
    "proverctl scale 50 -n provers --wait-for-nodes 2d",
    ignore_unknown_options=True,  # otherwise -1 is an unknown flag instead of a wrong number
)
@click.argument("replicas", metavar="N")
@options.settings("shortage")
@options.everywhere
def scale_command(replicas: str, **params: Any) -> None:
    """Change the number of prove-clients.

    No nodes are added: with fewer usable nodes than clients the command is refused with the numbers, unless one of the
    flags says what to do then. With --no-wait it sends a signal, which needs no worker at that moment.
    """
    from domain.commands import Scale
    from planning.settings import spec
    from starter.cli.invocation import invocation

    asked = invocation(params)
    number = asked.validated(
        lambda: spec.replicas(replicas),
        lambda: spec.place(asked.values),
        lambda: spec.shortage(asked.values),
    )
    shortage, seconds = spec.shortage(asked.values)
    _change(asked, Scale(replicas=number, shortage=shortage, wait_for_nodes=seconds), "scale")


@options.command(
    "reset-endpoint", "proverctl reset-endpoint 10.0.0.8 -n provers", "proverctl reset-endpoint 10.0.0.8 --port 50056"
)
@click.argument("ip", required=False)
@click.option("--port", help="TCP port of the coordinator (default: as it is).  [COORDINATOR_PORT]")
@options.everywhere
def reset_endpoint_command(ip: str | None, port: str | None, **params: Any) -> None:
    """Point the clients at another coordinator.

    IP and port default to COORDINATOR_EP and COORDINATOR_PORT. Clients are not restarted. With --no-wait it sends a
    signal, which needs no worker at that moment.
    """
    from planning.settings import spec
    from starter.cli.invocation import invocation

    asked = invocation(params, {"COORDINATOR_EP": ip, "COORDINATOR_PORT": port})
    request = asked.validated(lambda: spec.new_endpoint(asked.values), lambda: spec.place(asked.values))
    _change(asked, request, "reset_endpoint")


@options.command("tear-down", "proverctl tear-down -n provers", "proverctl tear-down -n provers --backend --purge")
@click.option("--now", is_flag=True, help="Do not wait for proofs in flight.")
@click.option("--backend", is_flag=True, help="Also stop the backend; its data stays.")
@click.option("--purge", is_flag=True, help="With --backend: also delete its data, which is listed first.")
@options.settings("backend")
@options.everywhere
def tear_down_command(now: bool, backend: bool, purge: bool, **params: Any) -> None:
    """Remove the prove-clients of one namespace.

    On a terminal you type the namespace's name to confirm; elsewhere it needs --yes and an explicit -n.
    """
    from planning.settings.spec import backend_spec, bare_spec
    from starter.cli import terminal
    from starter.cli.invocation import invocation

    if purge and not backend:
        raise click.UsageError("--purge deletes the backend's data: it goes with --backend.")
    asked = invocation(params)
    build = backend_spec if backend else bare_spec
    spec = asked.validated(lambda: build(asked.values))
    example = asked.again("tear-down", "--yes")
    confirmed = asked.yes and asked.named_namespace
    confirmation.require_terminal("tear-down", example, confirmed=confirmed, needs="--yes and an explicit -n")
    if purge:
        _show_purge(asked, spec)
    if not asked.yes:
        confirmation.confirm("Type the namespace to tear down", asked.namespace, "nothing was contacted")
    if not now:
        terminal.note("proofs in flight are not waited for: draining is not available yet, so this acts as --now")
    from domain.commands import TearDown
    from starter.temporal import session

    session.run(asked, _tear_down(asked, spec, TearDown(now=True, stop_backend=backend, purge=purge)))


def _show_purge(asked: "Invocation", spec: "ClusterSpec") -> None:
    """List what a purge deletes; raise Exit INVALID unless it is the data of this deployment's own backend."""
    from domain import names
    from starter.commands.backend_lifecycle import load_profile, show_purge
    from starter.temporal import session
    from starter.temporal.deployments import backend_of

    loaded = session.run(asked, load_profile(asked, spec), what="the backend")
    backend, named = session.run(asked, backend_of(asked)), names.backend_id(spec.backend.host, loaded.profile.name)
    if backend not in ("", named):
        raise exits.Exit(
            exits.INVALID,
            f"BACKEND_REPO and BACKEND_PROFILE name {named}, but this deployment's backend is {backend}; nothing was"
            " changed. Name that one, or leave out --purge and use:",
            ["  " + asked.again_backend("purge")],
        )
    show_purge(loaded)


def _change(asked: "Invocation", request: "Scale | ResetEndpoint", name: str) -> None:
    from starter.temporal import session

    session.run(asked, _carry_out(asked, request, name))


async def _carry_out(asked: "Invocation", request: "Scale | ResetEndpoint", name: str) -> None:
    from domain import names
    from starter.temporal import session
    from starter.temporal.outcome import carry_out
    from starter.temporal.updates import ask
    from workflows.deployment.workflow import ProverClusterWorkflow

    workflow_id = names.deployment_id(asked.cluster, asked.namespace)
    request = request.model_copy(update={"by": session.identity()})
    if not asked.wait and not asked.inline:
        await _signal(asked, workflow_id, name, request)
        return

    async def send(client: "Client") -> "Receipt":
        return await ask(client, asked, workflow_id, getattr(ProverClusterWorkflow, name), request)

    await carry_out(asked, workflow_id, session.queues(asked.cluster), send)


def _tell_risk(name: str) -> None:
    """Warn of ended clients, since a signal has no receipt that could."""
    from planning.plan import proofs
    from starter.cli import terminal

    fewer = f"with fewer clients than now, busy ones that end lose their proof, and {proofs.STRANDED}"
    terminal.note(proofs.MOVED if name == "reset_endpoint" else fewer)


async def _signal(asked: "Invocation", workflow_id: str, name: str, request: "Scale | ResetEndpoint") -> None:
    from temporalio.service import RPCError, RPCStatusCode

    from starter.cli import terminal
    from starter.temporal import session
    from starter.temporal.updates import nothing_deployed

    _tell_risk(name)
    async with session.session(asked) as client:
        try:
            await client.get_workflow_handle(workflow_id).signal(name, request)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise nothing_deployed(asked) from error
            raise
        ui = session.ui_page(client, asked, workflow_id)
    value = {"signal": name, "deployment": workflow_id, "ui": ui}
    terminal.data(value, asked.output, f"signal  {name}\nUI      {ui}")
    terminal.note(f"sent. Look at it with: {asked.again('status')}")


async def _tear_down(asked: "Invocation", spec: "ClusterSpec", request: "TearDown") -> None:
    from starter.temporal import session
    from starter.temporal.outcome import carry_out
    from starter.temporal.updates import start_or_ask
    from workflows.deployment.workflow import ProverClusterWorkflow

    needed = session.queues(spec.cluster, spec.backend.host if request.stop_backend else "")
    request = request.model_copy(update={"by": session.identity()})

    async def send(client: "Client") -> "Receipt":
        return await start_or_ask(client, spec, ProverClusterWorkflow.tear_down, request)

    await carry_out(asked, spec.deployment_id, needed, send)
