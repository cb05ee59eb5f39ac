"""What people use instead of us, built on request from pinned modules: the other side of benchmarks."""

from pathlib import Path

from sandbox.binaries import Module, ensure_built
from sandbox.settings import Settings

_HELM_3 = "v3.22.0"
_HELM_4 = "v4.3.0"  # with the same Kubernetes modules as helm 3, which the compiler then knows
_KAPP = "v0.64.2"
_NICENESS = 10  # a world may be at work beside it

PEERS = (
    Module(
        name="helm3",
        version=_HELM_3,
        packages=("helm.sh/helm/v3/cmd/helm",),
        estimate="about 4 min on 2 cores",
        linker_flags=f"-s -w -X helm.sh/helm/v3/internal/version.version={_HELM_3}",
        program="helm3",
        niceness=_NICENESS,
    ),
    Module(
        name="helm4",
        version=_HELM_4,
        packages=("helm.sh/helm/v4/cmd/helm",),
        estimate="about 3 min on 2 cores",
        linker_flags=f"-s -w -X helm.sh/helm/v4/internal/version.version={_HELM_4}",
        program="helm4",
        niceness=_NICENESS,
    ),
    Module(
        name="kapp",
        version=_KAPP,
        packages=("carvel.dev/kapp/cmd/kapp",),
        estimate="about 2 min on 2 cores",
        linker_flags=f"-s -w -X carvel.dev/kapp/pkg/kapp/version.Version={_KAPP.removeprefix('v')}",
        niceness=_NICENESS,
    ),
)


def ensure_peers(settings: Settings) -> dict[str, Path]:
    """Name → binary of helm 3, helm 4 and kapp; from the cache, or built now, one after the other."""
    return {peer.name: ensure_built(settings, peer) / peer.name for peer in PEERS}
