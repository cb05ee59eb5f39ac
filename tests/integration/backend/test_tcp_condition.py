"""What the condition `tcp` says of a port that nobody else reaches, and of an address without a host."""

import socket
from pathlib import Path

import pytest

from clients.backend.steps.wait import lacks
from domain.profile import Wait
from tests.support.backend.jobs import job_in


def _lacking(folder: Path, address: str) -> str | None:
    wait = Wait(tcp=address)
    return lacks(job_in(folder, wait=wait), wait)


def test_without_a_host(tmp_path: Path) -> None:
    """It is this machine's, as with COORDINATOR_EP unset."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert _lacking(tmp_path, f":{server.getsockname()[1]}") is None


@pytest.mark.parametrize(("address", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_a_port_that_is_open_on_loopback_only(world: dict[str, str], tmp_path: Path, address: str, shown: str) -> None:
    """Said with the address, since `Connection refused` alone reads as if nothing listened."""
    with socket.create_server((address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET) as server:
        port = server.getsockname()[1]
        lacking = _lacking(tmp_path, f"{world['COORDINATOR_EP']}:{port}") or ""
        assert lacking.startswith(f"Connection refused: its port {port} is open on the loopback address {shown} only")
        assert _lacking(tmp_path, f"127.0.0.2:{port}") == "Connection refused"
    assert _lacking(tmp_path, f"{world['COORDINATOR_EP']}:{port}") == "Connection refused"
