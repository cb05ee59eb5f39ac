"""Messages about a release in a namespace: target, apply, rollout, watch and removal."""

from domain.model import Message
from domain.spec import ClusterSpec
from domain.status import Observation, Release


class TargetRequest(Message):
    """The namespace about to be written to."""

    spec: ClusterSpec
    deployment_id: str
    cluster_uid: str = ""  # fence; empty on the first contact


class Target(Message):
    """Objects that exist already."""

    cluster_uid: str
    namespace_exists: bool = True
    deployed: bool = False  # a Deployment of ours exists
    stage: str = ""  # annotation on the namespace
    owner: str = ""
    warnings: list[str] = []


class ApplyRequest(Message):
    """Make the namespace equal to the rendering of this spec and release."""

    spec: ClusterSpec
    release: Release
    deployment_id: str
    cluster_uid: str
    image_user: str = ""


class Applied(Message):
    """Result of an apply."""

    config_hash: str
    generation: int  # of the Deployment, for the rollout wait
    changed: bool = True  # False: the cluster was equal already
    settle: float = 0.0  # seconds that nodes should be given to learn of a Service that was just made
    warnings: list[str] = []


class RolloutRequest(Message):
    """Wait until exactly this release runs with this many clients."""

    spec: ClusterSpec
    release: Release
    generation: int
    replicas: int
    trial: bool = False  # the release has not served yet: clients that fail every task end the wait
    patient: bool = False  # only completion or a fatal finding ends the wait: a person has been asked already


class WatchRequest(Message):
    """Return when what is observed differs from `known` in something that matters."""

    spec: ClusterSpec
    release: Release
    known: Observation


class TeardownInput(Message):
    """Start input of TeardownWorkflow."""

    spec: ClusterSpec
    deployment_id: str
    cluster_uid: str = ""
    stop_backend: bool = False
    purge: bool = False  # with stop_backend: delete the backend's data, too
    profile_name: str = ""  # of the backend that the deployment brought up; empty: the profile says
    request_id: str = ""  # of the asking command


class Removed(Message):
    """`kind/name` of each object removed."""

    objects: list[str] = []
    warnings: list[str] = []
