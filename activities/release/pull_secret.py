"""Keeps `img-cred` fit for what pulls a new image and for the clients that serve the old one, both at once."""

from collections.abc import Callable

from activities.cluster.fence import owner_of
from domain import names
from domain.kubernetes import Manifest
from domain.ports import Cluster, Login
from domain.spec import ClusterSpec
from planning.image import pre_pull
from planning.kubernetes import objects
from planning.manifests import render


class PullSecret:
    """The Secret of one namespace, of which the content before the first write is remembered."""

    def __init__(self, cluster: Cluster, spec: ClusterSpec, owner: str, fence: Callable[[], None]) -> None:
        """`fence` raises when this is not the cluster that it was."""
        self._cluster = cluster
        self._spec = spec
        self._owner = owner
        self._fence = fence
        self._old: Manifest | None = None
        self._wrote = False

    def write(self, login: Login) -> None:
        """Write this worker's credentials into the Secret, beside those for other hosts."""
        self._old = self._cluster.get("Secret", names.PULL_SECRET, self._spec.namespace)
        if self._old is None or owner_of(self._old) == self._owner:  # of somebody else's the apply says what is wrong
            self._apply(pre_pull.beside_others(self._render(login), self._old))
            self._wrote = True

    def take_back(self, login: Login, *, refused: bool) -> None:
        """Nothing is left of a Secret that was not there; where the credentials were refused, the old ones return."""
        if not self._wrote:
            return
        if self._old is None:
            written = self._cluster.get("Secret", names.PULL_SECRET, self._spec.namespace)
            if written is not None and owner_of(written) == self._owner:
                self._fence()
                self._cluster.delete("Secret", names.PULL_SECRET, self._spec.namespace, uid=objects.uid(written))
        elif refused:
            self._apply(self._render(login) | {"data": self._old.get("data") or {}})

    def _render(self, login: Login) -> Manifest:
        return render.pull_secret(self._spec, login.user, login.reveal(), self._owner)

    def _apply(self, secret: Manifest) -> None:
        self._fence()
        self._cluster.apply(secret)
