"""The Docker Engine: the machine's own if one answers, else one of ours that touches no firewall rule."""

import shutil
from pathlib import Path

from sandbox.errors import WorldError
from sandbox.host.network import ensure_docker_bridge
from sandbox.host.readiness import engine_answers
from sandbox.services.program import Program
from sandbox.settings import Settings

_DEFAULT_SOCKET = Path("/var/run/docker.sock")


def engine_socket(settings: Settings) -> Path:
    """Socket of the Engine that this world uses; once it has its own it stays with it."""
    own = settings.state / "docker.sock"
    if not (settings.state / "docker").exists() and engine_answers(_DEFAULT_SOCKET)() is None:
        return _DEFAULT_SOCKET
    return own


def require_engine(settings: Settings) -> None:
    """Refuse a machine that has neither a running Engine nor the means to start ours."""
    if engine_socket(settings) != _DEFAULT_SOCKET and not shutil.which("dockerd"):
        raise WorldError(
            f"no Docker Engine answers on {_DEFAULT_SOCKET} and there is no dockerd: `make up` installs it"
        )


def engine(settings: Settings) -> list[Program]:
    """Our dockerd, or nothing when the machine has one."""
    socket = engine_socket(settings)
    if socket == _DEFAULT_SOCKET:
        return []
    state = settings.state
    configuration = state / "docker.json"
    configuration.write_text("{}\n")  # without a file of ours it reads the machine's
    command = (
        "dockerd",
        f"--host=unix://{socket}",
        f"--config-file={configuration}",
        f"--data-root={state}/docker",
        f"--exec-root={state}/docker-exec",
        f"--pidfile={state}/docker.pid",
        f"--bridge={ensure_docker_bridge(settings)}",
        f"--default-address-pool=base={settings.docker_networks},size=24",
        f"--cgroup-parent=/{settings.bridge}",
        f"--insecure-registry={settings.bridge_network}",
        "--iptables=false",
        "--ip6tables=false",
        "--group=root",
    )
    return [
        Program(
            name="dockerd",
            wave=1,
            command=command,
            ready=engine_answers(socket),
            stop_seconds=10,
            # Both believe that a process of this number is theirs, whatever got the number after a reboot.
            leftovers=(state / "docker.pid", state / "docker-exec" / "containerd" / "containerd.pid"),
        )
    ]
