"""kwok: heartbeats of fake nodes and the life of the pods on them; sandbox/kubernetes/fleet.py makes the nodes.

It renews leases of nodes that were deleted while it had no watch, as during a restart of the API server. Thousands of
them load the API server; `python -m sandbox restart kwok` ends that. Fake nodes of that moment are Unknown until their
leases have run out.
"""

from contextlib import closing
from pathlib import Path

from sandbox.binaries import KWOK, ensure_binaries
from sandbox.host.readiness import http_answers
from sandbox.services.program import Program
from sandbox.services.supervision import Supervisor
from sandbox.settings import Settings

ANNOTATION = {"kwok.x-k8s.io/node": "fake"}
"""Nodes with it are kwok's, all others are left alone."""

_CONFIGURATION = Path(__file__).parent / "kwok.yaml"
# Renewed every quarter of it: well within the 50 s after which a silent node is Unknown, and at 5,000 nodes still only
# 170 requests a second.
_LEASE_SECONDS = 120
_POD_ADDRESSES = "198.18.0.1/15"  # kept for benchmarks by RFC 2544: nobody's pods


def kwok(settings: Settings) -> Program:
    """Return the program, which serves once it has read its stages; a fleet of fake nodes starts it."""
    address = f"127.0.0.1:{settings.ports.kwok}"
    selector = ",".join(f"{key}={value}" for key, value in ANNOTATION.items())
    return Program(
        name="kwok",
        wave=3,
        command=(
            f"{settings.bin}/kwok",
            f"--kubeconfig={settings.pki}/kwok.kubeconfig",
            f"--config={_CONFIGURATION}",
            f"--manage-nodes-with-annotation-selector={selector}",
            f"--node-lease-duration-seconds={_LEASE_SECONDS}",
            f"--node-ip={settings.host}",
            f"--cidr={_POD_ADDRESSES}",
            f"--server-address={address}",
            "--v=WARN",  # it would tell of every pod
        ),
        environment={"HOME": str(settings.state)},  # it would read ~/.kwok, too
        ready=http_answers(f"http://{address}/healthz"),
        listens=(("127.0.0.1", settings.ports.kwok),),
        on_demand=True,
    )


def start_kwok(settings: Settings) -> None:
    """Build kwok if it is not in the cache, start it in a running world, and wait until it serves."""
    ensure_binaries(settings, (KWOK,))
    with closing(Supervisor(settings)) as supervisor:
        supervisor.start("kwok")
        supervisor.wait_ready(kwok(settings))
