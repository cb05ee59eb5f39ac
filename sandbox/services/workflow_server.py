"""Temporal's development server with its pages, keeping its state in the world's directory."""

from sandbox.errors import WorldError
from sandbox.host.command import run
from sandbox.services.program import Program
from sandbox.settings import Settings

_SEARCH_ATTRIBUTES = ("ProverStage", "ProverPhase", "ProverNamespace")
# The development server polls its queues rarely, so that a laptop stays cool; a benchmark must not wait for that.
_DYNAMIC = ("history.transferProcessorMaxPollRPS=10000", "history.timerProcessorMaxPollRPS=10000")


def workflow_server(settings: Settings) -> Program:
    """Return the server; it serves when the last search attribute is known."""
    ports = settings.ports
    address = f"127.0.0.1:{ports.temporal}"
    temporal = f"{settings.venv_bin}/temporal"
    # A configuration file or TEMPORAL_* variables of the caller are not for this world.
    environment = {"HOME": str(settings.state), "TEMPORAL_CONFIG_FILE": "/dev/null"}

    def ready() -> str | None:
        question = (temporal, "operator", "search-attribute", "list", "--address", address)
        try:
            known = run(*question, env=environment)
        except WorldError as error:
            return str(error)
        missing = [name for name in _SEARCH_ATTRIBUTES if name not in known]
        return f"{address} does not know {', '.join(missing)}" if missing else None

    return Program(
        name="temporal",
        wave=1,
        command=(
            temporal,
            "server",
            "start-dev",
            "--ip=127.0.0.1",
            f"--port={ports.temporal}",
            f"--ui-port={ports.temporal_ui}",
            f"--db-filename={settings.state}/temporal.db",
            "--log-level=warn",
            *(f"--dynamic-config-value={value}" for value in _DYNAMIC),
            *(f"--search-attribute={name}=Keyword" for name in _SEARCH_ATTRIBUTES),
        ),
        environment=environment,
        ready=ready,
        listens=(("127.0.0.1", ports.temporal), ("127.0.0.1", ports.temporal_ui)),
    )
