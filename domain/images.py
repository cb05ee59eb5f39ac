"""Words about images as they travel and as they are kept: data only."""

from domain.diagnosis import Diagnosis
from domain.model import Message
from domain.spec import Backend, ClusterSpec, ImageTarget
from domain.status import Release


class LayerProgress(Message):
    """Progress of one layer."""

    title: str
    done: int  # bytes
    total: int  # bytes; 0: not known
    rate: float = 0.0  # bytes a second, of late; 0: not known yet

    @property
    def seconds_left(self) -> float | None:
        """None as long as nobody can tell."""
        return (self.total - self.done) / self.rate if self.rate > 0 and self.total else None


class TransferProgress(Message):
    """All layers of an image on their way: the second detail of a heartbeat, beside a sentence."""

    verb: str  # reading, pushing
    layers: list[LayerProgress] = []  # those under way, in the order of the image; at most a few
    count: int = 0  # of all layers
    settled: int = 0  # of these
    done: int = 0  # bytes, of all layers
    total: int = 0  # 0: not known
    rate: float = 0.0

    @property
    def seconds_left(self) -> float | None:
        """None as long as nobody can tell."""
        return (self.total - self.done) / self.rate if self.rate > 0 and self.total else None


class ImagesRequest(Message):
    """List the prover images at the registry and on the backend host, and remove those that nobody needs."""

    backend: Backend
    target: ImageTarget
    prune: bool = False
    keep: int = 10  # newest images that stay whatever names them
    named: dict[str, list[str]] = {}  # digest or tag → who names it, as "prover-cluster/default/fluidex revision 3"


class StoredImage(Message):
    """Image in the registry by its tags, or in the Docker Engine."""

    place: str  # registry, engine
    digest: str
    tags: list[str] = []
    stage: str = ""
    commit: str = ""
    size: int = 0  # bytes; layers that are shared count in each
    created: str = ""  # ISO 8601 UTC; empty: unknown
    named_by: list[str] = []
    kept: str = ""  # why it stays, as "named by …" or "among the newest 10"; empty: nothing keeps it
    removed: bool = False


class ImagesReport(Message):
    """Images at the registry, then in the Docker Engine, newest first each."""

    images: list[StoredImage] = []
    removed: int = 0
    warnings: list[str] = []


class PrePullRequest(Message):
    """Have the nodes to which clients of a new release will come pull its image, while the old clients run."""

    spec: ClusterSpec
    release: Release
    deployment_id: str
    cluster_uid: str


class PrePulled(Message):
    """How it ended."""

    nodes: int = 0  # to which clients may come, and those that run one
    pulled: int = 0  # of them, that have the image now
    diagnosis: Diagnosis | None = None  # no client would get the image: the rollout must not begin
    warnings: list[str] = []  # which nodes have not pulled it, and why
