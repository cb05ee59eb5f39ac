"""A table of the processes and endpoints of a world."""

from sandbox.env_file import environment
from sandbox.services.supervision import Supervisor
from sandbox.settings import Settings

_SHOWN = ("KUBECONFIG", "DOCKER_HOST", "TEMPORAL_ADDRESS", "WORLD_TEMPORAL_UI", "IMAGE_HOST", "IMAGE_HOST_ALIAS")
_ON_DEMAND = ("kwok", "worker")


def status(settings: Settings) -> bool:
    """Print processes and endpoints; return whether everything that should run does."""
    supervisor = Supervisor(settings)
    if not settings.env_file.exists() or not supervisor.is_running():
        print(f"world {settings.name} is not up: run `make up`")
        return False
    rows = [(str(p["name"]), str(p["statename"]), str(p["description"])) for p in supervisor.processes()]
    for name, state, description in rows:
        print(f"{name:26}{state:10}{description}")
    for key, value in environment(settings).items():
        if key in _SHOWN:
            print(f"{key:26}{value}")
    print(f"{'env file':26}{settings.env_file}")
    return all(state == "RUNNING" for name, state, _ in rows if name not in _ON_DEMAND)
