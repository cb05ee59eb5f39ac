"""The order in which a world comes up: places, network, then processes in waves, each wave awaited."""

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from sandbox.binaries import ensure_binaries
from sandbox.env_file import environment, write_env_file
from sandbox.errors import WorldError
from sandbox.go import go_command
from sandbox.host import kernel
from sandbox.host.mounts import share_root
from sandbox.host.network import ensure_network
from sandbox.image import ensure_images
from sandbox.kubernetes.certificates import ensure_certificates
from sandbox.kubernetes.cluster import grant_rights, prepare_nodes
from sandbox.kubernetes.control_plane import control_plane, write_dns_configuration
from sandbox.kubernetes.kwok import kwok
from sandbox.kubernetes.node import node_programs, write_node_configuration
from sandbox.services.engine import engine, require_engine
from sandbox.services.ports import refuse_taken_ports
from sandbox.services.program import Program
from sandbox.services.registry import registries, write_registry_configuration
from sandbox.services.supervision import SYSTEM_PATH, Supervisor
from sandbox.services.workflow_server import workflow_server
from sandbox.settings import REPOSITORY, Settings

_NEEDED = ("etcd", "containerd", "runc", "docker-registry", "iptables", "conntrack", "ip", "nsenter", "ss")
_PACKAGES = ("domain", "planning", "clients", "activities", "workflows", "connection", "worker")
_CNI = Path("/usr/lib/cni/bridge")


def require_machine() -> None:
    """Refuse early, in one sentence, what cannot work."""
    if os.geteuid() != 0:
        raise WorldError("the world makes network namespaces and mounts: run it as root on Debian or Ubuntu")
    missing = [name for name in _NEEDED if not shutil.which(name)]
    if not _CNI.exists():
        missing.append(str(_CNI))
    if missing:
        raise WorldError(f"missing on this machine: {', '.join(missing)}; `make up` as root installs them")


def programs(settings: Settings) -> list[Program]:
    """Every process of this world."""
    nodes = [program for number in settings.node_numbers for program in node_programs(settings, number)]
    return [
        *registries(settings),
        workflow_server(settings),
        *engine(settings),
        *control_plane(settings),
        *nodes,
        kwok(settings),
        _worker(settings),
    ]


def up(settings: Settings, *, worker: bool = False) -> None:
    """Bring the world up, or start what is missing of it."""
    require_machine()
    require_engine(settings)
    ensure_binaries(settings)
    with _step("places, certificates, network"):
        _prepare(settings)
    supervisor = Supervisor(settings)
    wanted = programs(settings)
    with _step("supervisord"):
        supervisor.apply(wanted)
    refuse_taken_ports(settings, supervisor, wanted)
    _leave_lost_namespaces(supervisor, wanted)
    lasting = [program for program in wanted if not program.on_demand]
    for wave, members in groupby(sorted(lasting, key=lambda program: program.wave), lambda program: program.wave):
        _start_wave(supervisor, list(members))
        _after_wave(settings, wave)
    with _step("nodes"):
        prepare_nodes(settings)
    if worker:
        start_worker(settings)


def start_worker(settings: Settings) -> None:
    """Start the product's worker beside a running world."""
    supervisor = Supervisor(settings)
    if supervisor.state("worker") == "RUNNING":
        return
    supervisor.forget_log("worker")  # an earlier worker's readiness must not speak for this one
    supervisor.start("worker")
    log = supervisor.log("worker")

    def ready() -> str | None:
        return None if "ready for roles" in log.read_text(errors="replace") else "it does not say that it is ready"

    with _step("worker"):
        try:
            supervisor.wait_ready(replace(_worker(settings), ready=ready))
        except WorldError:
            supervisor.stop("worker")  # it would fall over and be started again for ever
            raise


def _refuse_other_settings(settings: Settings) -> None:
    """Certificates and etcd hold the addresses that the world was made with."""
    made_with = settings.state / "addresses"
    wanted = f"PROVER_WORLD_SUBNET={settings.subnet} PROVER_WORLD_PORT_OFFSET={settings.ports.offset}\n"
    if not made_with.exists():
        made_with.write_text(wanted)
    elif (made := made_with.read_text()) != wanted:
        raise WorldError(
            f"world {settings.name} was made with {made.strip()}, now asked for with {wanted.strip()}: "
            "take it down first, or set PROVER_WORLD to another name"
        )


def _prepare(settings: Settings) -> None:
    settings.state.mkdir(parents=True, exist_ok=True)
    _refuse_other_settings(settings)
    (settings.state / "prover").mkdir(exist_ok=True)
    kernel.prepare()
    share_root()
    ensure_certificates(settings)
    ensure_network(settings)
    write_registry_configuration(settings)
    write_dns_configuration(settings)
    for number in settings.node_numbers:
        write_node_configuration(settings, number)
    write_env_file(settings)


def _start_wave(supervisor: Supervisor, members: list[Program]) -> None:
    for program in members:
        supervisor.start(program.name)
    for program in members:
        with _step(program.name):
            supervisor.wait_ready(program)


def _after_wave(settings: Settings, wave: int) -> None:
    if wave == 1:
        ensure_images(settings)
    if wave == 2:  # noqa: PLR2004 - the wave of kube-apiserver
        grant_rights(settings)


def _leave_lost_namespaces(supervisor: Supervisor, wanted: list[Program]) -> None:
    """Stop programs whose network namespace was deleted and made anew under them; they would talk to nobody."""
    for program in wanted:
        if not program.namespace or not (pid := supervisor.pid(program.name)):
            continue
        held = Path(f"/proc/{pid}/ns/net")
        if held.exists() and held.stat().st_ino != program.namespace.stat().st_ino:
            supervisor.stop(program.name)


def _worker(settings: Settings) -> Program:
    return Program(
        name="worker",
        wave=9,
        command=(f"{settings.venv_bin}/python", "-m", "worker"),
        directory=REPOSITORY,
        environment=environment(settings) | _worker_environment(settings),
        ready=lambda: None,
        patience=30,
        stop_seconds=30,
        on_demand=True,
    )


def _worker_environment(settings: Settings) -> dict[str, str]:
    """Go for the steps of the example backend, and a mark of the code: changed code is a changed program."""
    path = f"{Path(go_command(settings)).parent}:{settings.venv_bin}:{SYSTEM_PATH}"
    source = hashlib.sha256()
    for package in _PACKAGES:
        for file in sorted((REPOSITORY / package).glob("*.py")):
            source.update(file.read_bytes())
    return {"PATH": path, "PYTHONUNBUFFERED": "1", "WORLD_WORKER_SOURCE": source.hexdigest()[:16]}


@contextmanager
def _step(name: str) -> Iterator[None]:
    start = time.monotonic()
    yield
    print(f"  {name}: {time.monotonic() - start:.1f} s", flush=True)
