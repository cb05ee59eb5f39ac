"""Finds out before anything starts whether somebody else sits on an address that the world needs."""

import errno
import socket

from sandbox.errors import WorldError
from sandbox.host.command import run
from sandbox.services.program import Program
from sandbox.services.supervision import Supervisor
from sandbox.settings import Settings


def refuse_taken_ports(settings: Settings, supervisor: Supervisor, programs: list[Program]) -> None:
    """Raise WorldError that names the program, the port and who has it; running programs have their own."""
    for program in programs:
        if supervisor.pid(program.name):
            continue
        for host, port in program.listens:
            if _is_taken(host, port):
                owner = run("ss", "-Hltnp", f"sport = :{port}").strip() or "a process of another namespace"
                raise WorldError(
                    f"{program.name} of world {settings.name} needs {host}:{port}, which is taken by: {owner}. "
                    "End that process, or set PROVER_WORLD_PORT_OFFSET (for instance 100)"
                )


def _is_taken(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of the past do not count
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False
