"""Programs that people use instead of ours, built on request from pinned modules for benchmarks."""

from pathlib import Path

from sandbox.binaries import NICENESS, Module, ensure_built
from sandbox.settings import Settings


def _peer(name: str, version: str, package: str, stamp: str, minutes: int) -> Module:
    """`stamp` is the linker's assignment of the version."""
    return Module(
        name=name,
        version=version,
        packages=(package,),
        estimate=f"about {minutes} min on 2 cores",
        linker_flags=f"-s -w -X {stamp}",
        program=name,
        niceness=NICENESS,
    )


PEERS = (
    _peer("helm3", "v3.22.0", "helm.sh/helm/v3/cmd/helm", "helm.sh/helm/v3/internal/version.version=v3.22.0", 4),
    # With the same Kubernetes modules as helm 3, which the compiler then knows.
    _peer("helm4", "v4.3.0", "helm.sh/helm/v4/cmd/helm", "helm.sh/helm/v4/internal/version.version=v4.3.0", 3),
    _peer("kapp", "v0.64.2", "carvel.dev/kapp/cmd/kapp", "carvel.dev/kapp/pkg/kapp/version.Version=0.64.2", 2),
)


def ensure_peers(settings: Settings) -> dict[str, Path]:
    """Name → binary of helm 3, helm 4 and kapp; from the cache, or built now, one after the other."""
    return {peer.name: ensure_built(settings, peer) / peer.name for peer in PEERS}
