"""The variables that every profile may use without declaring them, as far as the spec knows them."""

from domain.messages.source import SourceRequest
from domain.spec import ClusterSpec

_NO_STAGE = "unused"


def built_in(spec: ClusterSpec, circuit_dir: str, repo: str = "", circuit: str = "") -> dict[str, str]:
    """Names and values; before the profile is read (no `repo` yet) what is empty is left to the host.

    `circuit` is the profile's; CIRCUIT wins.
    """
    of_profile = {"BACKEND_REPO": repo, "CIRCUIT_DIR": circuit_dir, "CIRCUIT": spec.circuit or circuit}
    return {
        **{name: value for name, value in of_profile.items() if value or repo},
        "CLUSTER": spec.cluster,
        "CLUSTER_NS": spec.namespace,
        "COORDINATOR_EP": spec.coordinator.ip,
        "COORDINATOR_PORT": str(spec.coordinator.port),
        "COORDINATOR_SERV": spec.coordinator_serv,
    }


def circuit_request(spec: ClusterSpec, circuit: str) -> SourceRequest:
    """Return the request for the circuits that the backend is configured for, when clients prove `circuit`.

    A source apart is read as its last checkout left it, whatever its changes: with a stage, no commit is needed.
    """
    return source_request(spec.model_copy(update={"stage": _NO_STAGE, "allow_dirty": True, "circuit": circuit}))


def source_request(spec: ClusterSpec, *, after_setup: bool = False) -> SourceRequest:
    """How the commit of this spec's work tree is asked for, once it is checked out."""
    return SourceRequest(
        repo=spec.backend.repo,
        stage=spec.stage,
        allow_dirty=spec.allow_dirty,
        backend=spec.backend,
        variables=built_in(spec, spec.backend.circuit_dir),
        after_setup=after_setup,
    )
