"""`run-all`, `setup-all`, `deploy`: bring a deployment to what the settings say, whatever is there already."""
# ruff: noqa: PLC0415 - `--help` and completion must not load pydantic and temporalio

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starter.cli import options

if TYPE_CHECKING:
    from temporalio.client import Client

    from domain.commands import Receipt
    from domain.spec import ClusterSpec
    from starter.cli.invocation import Invocation

PLACE = "-n provers --image-repo registry.example.com:5000/prover"
PROFILE = "proverctl.yaml"


@options.command("run-all", f"proverctl run-all {PLACE} --coordinator-ep 10.0.0.7", "proverctl run-all --env-file .env")
@options.settings()
@options.everywhere
@options.not_yet("--adopt")
def run_all_command(**params: Any) -> None:
    """Deploy everything: backend, simulated data and prove-clients.

    Sets up and starts the backend of BACKEND_PROFILE with its simulated data, builds and pushes the image of its
    commit, and deploys the prove-clients. On a deployment that runs it changes what differs.
    """
    _deploy(params, "simulated")


@options.command("setup-all", f"proverctl setup-all {PLACE} --coordinator-ep 10.0.0.7 --replicas 4")
@options.settings()
@options.everywhere
@options.not_yet("--adopt")
def setup_all_command(**params: Any) -> None:
    """Deploy the backend and prove-clients, nothing simulated.

    Like run-all without the simulated data; after a run-all it stops the simulation and says so.
    """
    _deploy(params, "real")


@options.command(
    "deploy", f"proverctl deploy {PLACE} --coordinator-ep 10.0.0.7", "proverctl deploy --env-file provers.env"
)
@options.settings()
@options.everywhere
@options.not_yet("--adopt")
def deploy_command(**params: Any) -> None:
    """Deploy prove-clients for a coordinator that already runs.

    Builds and pushes the image of the backend's commit, verifies the nodes, applies the manifests and waits for the
    rollout. The same release means no change, another one an upgrade.
    """
    _deploy(params, "none")


def _deploy(params: dict[str, Any], mode: str) -> None:
    from domain.spec import BackendMode
    from planning.settings.spec import cluster_spec, warnings
    from starter.cli import terminal
    from starter.cli.invocation import invocation

    asked = invocation(params)
    backend = BackendMode(mode)
    spec = asked.validated(lambda: cluster_spec(asked.values, mode=backend, seen_on=socket.gethostname()))
    if backend is not BackendMode.NONE:
        require_profile(spec, asked)
    terminal.warn(warnings(spec))
    from starter.temporal import session

    session.run(asked, _carry_out(asked, spec))


def require_profile(spec: "ClusterSpec", asked: "Invocation") -> None:
    """Fail at once when this machine is the backend host and holds no profile."""
    from domain.errors import SettingsInvalid

    repo, profile = Path(spec.backend.repo), spec.backend.profile
    if spec.backend.apart or spec.backend.host != "local" or not repo.is_dir() or (profile and "/" not in profile):
        return  # the worker on that host checks it
    path = Path(profile) if profile else repo / PROFILE
    if not path.is_file():
        setting = f"BACKEND_PROFILE={str(path)!r}"
        raise SettingsInvalid(
            [f"{setting} does not exist: name a backend profile, or deploy without one: `{asked.again('deploy')}`."]
        )


async def _carry_out(asked: "Invocation", spec: "ClusterSpec") -> None:
    from domain.commands import Upgrade
    from domain.spec import BackendMode
    from planning.plan import intent
    from starter.temporal import session
    from starter.temporal.outcome import carry_out
    from starter.temporal.updates import start_or_ask
    from workflows.deployment.workflow import ProverClusterWorkflow

    given = intent.given(asked.flags, asked.below_flags)
    request = Upgrade(spec=spec, given=given, by=session.identity())

    async def send(client: "Client") -> "Receipt":
        return await start_or_ask(client, spec, ProverClusterWorkflow.upgrade, request)

    more = [asked.again_backend("status")] if spec.backend_mode is not BackendMode.NONE else []
    await carry_out(asked, spec.deployment_id, session.queues(spec.cluster, spec.backend.host), send, more)
