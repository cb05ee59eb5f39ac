"""Runs the probe's pod on a computation node and takes it away again, whatever happens meanwhile."""

import time
from collections.abc import Callable

from activities.cluster.fence import owner_of
from domain.errors import Forbidden, ObjectRejected
from domain.messages.inspection import Check, CheckVerdict, PreflightRequest
from domain.ports import Beat, Cluster, Trials
from planning.kubernetes import rbac
from planning.preflight import checks, coordinator_probe

WAIT = 75.0  # seconds in all; the pod's own deadline and some time to find a node


class Probe:
    """Probe of the coordinator by a pod; Kubernetes ends the pod of a killed run, and the next run removes it."""

    def __init__(
        self, cluster: Cluster, trials: Trials, request: PreflightRequest, owner: str, beat: Beat, wait: float = WAIT
    ) -> None:
        self._cluster = cluster
        self._trials = trials
        self._request = request
        self._namespace = request.spec.namespace
        self._owner = owner
        self._beat = beat
        self._wait = wait

    def run(self, host: str, port: int, stopping: Callable[[], bool]) -> Check:
        """Return how a node reaches the coordinator's address."""
        pod = coordinator_probe.pod(self._request.spec, self._owner, self._request.probe_image, host, port)
        stranger = self._remove_leftover(stopping)
        if stranger:
            return stranger
        try:
            self._trials.create(pod, dry_run=False)
            return self._await(stopping)
        except Forbidden as error:
            return checks.unknown(coordinator_probe.CHECK_NAME, error.diagnosis.what, rbac.snippet("Probe", "create"))
        except ObjectRejected as error:
            return checks.from_diagnoses(coordinator_probe.CHECK_NAME, CheckVerdict.UNKNOWN, error.diagnosis)
        finally:
            self._cluster.delete("Pod", coordinator_probe.POD_NAME, self._namespace)

    def _remove_leftover(self, stopping: Callable[[], bool]) -> Check | None:
        """Of a run that was killed; a pod of that name that is not a probe of ours is let alone."""
        left = self._cluster.get("Pod", coordinator_probe.POD_NAME, self._namespace)
        if left is None:
            return None
        if not owner_of(left).endswith(f"/{self._request.deployment_id}"):  # whichever Temporal it was made from
            name, mark = coordinator_probe.POD_NAME, owner_of(left) or "(none)"
            said = f"Pod {name} is there and not ours: it carries the mark {mark}"
            return checks.unknown(
                coordinator_probe.CHECK_NAME,
                said,
                f"kubectl delete pod {coordinator_probe.POD_NAME} -n {self._namespace}",
            )
        self._cluster.delete("Pod", coordinator_probe.POD_NAME, self._namespace, uid=left["metadata"]["uid"])
        for _ in self._cluster.changes(self._namespace, stopping):
            now = self._cluster.get("Pod", coordinator_probe.POD_NAME, self._namespace)
            if now is None or now["metadata"]["uid"] != left["metadata"]["uid"]:
                break
            self._beat("removing the pod of an earlier probe")
        return None

    def _await(self, stopping: Callable[[], bool]) -> Check:
        began, found = time.monotonic(), None
        for _ in self._cluster.changes(self._namespace, stopping):
            found = self._cluster.get("Pod", coordinator_probe.POD_NAME, self._namespace)
            told = coordinator_probe.verdict(found) if found else None
            waited = time.monotonic() - began
            if told:
                return told
            if found is None or waited > self._wait:
                return coordinator_probe.unfinished(found, waited)
            self._beat(f"waiting for a node's word on the coordinator, {waited:.0f} s")
        return checks.unknown(
            coordinator_probe.CHECK_NAME, "this worker stops while it waits for the probe", "run it again"
        )
