"""The checks of a preflight over fakes: each error becomes a verdict, nothing is changed, and the pod always goes."""

import pytest
from temporalio.exceptions import CancelledError

from activities.inspection.checks import Checks
from activities.inspection.preflight import PreflightActivities, PreflightCluster, cluster_checks
from activities.inspection.probe import Probe
from domain import names
from domain.errors import (
    CredentialsMissing,
    Forbidden,
    ObjectRejected,
    SettingsInvalid,
    Unavailable,
)
from domain.kubernetes import Manifest, Right
from domain.messages.inspection import Check, CheckVerdict, PreflightRequest
from domain.spec import ClusterSpec, SecretRef
from planning.preflight import coordinator_probe
from planning.preflight.checks import ok
from tests.support.kubernetes.activities import ID, NS, OWNER, FakeSecrets, Room, make_spec, with_login
from tests.support.kubernetes.fake_cluster import FakeCluster

OK, WARNING, UNKNOWN, FAILED = CheckVerdict.OK, CheckVerdict.WARNING, CheckVerdict.UNKNOWN, CheckVerdict.FAILED


class FakeTrials:
    """Remembers what it was to create; a real pod goes into the cluster, its status as `end` makes it."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster
        self.refusal: Exception | None = None
        self.warnings: list[str] = []
        self.tried: list[Manifest] = []
        self.made: list[Manifest] = []
        self.status: Manifest = {"phase": "Succeeded"}

    def create(self, pod: Manifest, *, dry_run: bool) -> list[str]:
        """As the API server would."""
        if self.refusal:
            raise self.refusal
        (self.tried if dry_run else self.made).append(pod)
        if not dry_run:
            meta = pod["metadata"]
            spec = pod["spec"] | {"nodeName": "n1"}
            self.cluster.put("Pod", meta["name"], NS, annotations=meta["annotations"], spec=spec, status=self.status)
        return self.warnings


class ClusterRoom:
    """A cluster of two usable nodes with our namespace, and the checks of it."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.cluster.put("Namespace", NS)
        for name in ("n1", "n2"):
            status = {
                "conditions": [{"type": "Ready", "status": "True"}],
                "allocatable": {"cpu": "8", "memory": "16Gi", "pods": "110"},
            }
            taints = [{"key": "dedicated", "value": "computation", "effect": "NoSchedule"}]
            self.cluster.put(
                "Node", name, labels={"fluidexnode": "computation"}, spec={"taints": taints}, status=status
            )
        self.trials = FakeTrials(self.cluster)
        self.ending = "ok"
        self.beats: list[str] = []

    def reach(self, host: str, port: int) -> str:
        """The coordinator answers as it was told to."""
        assert (host, port) == ("10.0.0.9", 50055)
        return self.ending

    def site(self) -> PreflightCluster:
        """What the checks are made with."""
        return PreflightCluster(self.cluster, self.trials, FakeSecrets(), self.reach, OWNER)

    def request(self, spec: ClusterSpec | None = None, **changes: object) -> PreflightRequest:
        """Of two clients, whose image runs as 65532."""
        least = PreflightRequest(spec=spec or make_spec(), deployment_id=ID, stage="abc", image_user="65532")
        return least.model_copy(update=changes)

    def look(self, request: PreflightRequest | None = None) -> dict[str, Check]:
        """Every check by name."""
        found = cluster_checks(self.site(), request or self.request(), self.beats.append)
        return {check.name: check for check in found}


@pytest.fixture
def room() -> ClusterRoom:
    """A fresh cluster."""
    return ClusterRoom()


def verdicts(checks: dict[str, Check]) -> dict[str, CheckVerdict]:
    """Those that are not ok."""
    return {name: check.verdict for name, check in checks.items() if check.verdict is not OK}


def test_a_healthy_cluster_is_ok_in_the_order_of_a_deploy(room: ClusterRoom) -> None:
    """And nothing was written; the beat names each check."""
    found = room.look()
    assert verdicts(found) == {}
    assert list(found) == [
        "pull credentials for pods",
        "Kubernetes",
        "rights",
        "optional rights",
        "namespace",
        "ownership",
        "nodes",
        "quota",
        "objects",
        "pod admission",
        "coordinator",
    ]
    assert (room.cluster.writes, room.trials.made) == ([], [])
    assert {f"checking {name}" for name in found} <= set(room.beats)


def test_the_pod_on_trial_is_a_client(room: ClusterRoom) -> None:
    """Of the template that a deploy would apply, with the user of the base image."""
    room.look()
    [trial] = room.trials.tried
    assert trial["metadata"]["labels"]["role"] == "cluster-prover"
    assert trial["spec"]["securityContext"]["runAsNonRoot"] is True
    room.look(room.request(image_user="root"))
    assert "runAsNonRoot" not in room.trials.tried[1]["spec"]["securityContext"]


def test_an_unknown_user_leaves_the_admission_unknown(room: ClusterRoom) -> None:
    """Docker was down, so nobody could look at the base image."""
    assert verdicts(room.look(room.request(image_user=None))) == {"pod admission": UNKNOWN}


def test_lacking_rights_fail_and_optional_ones_warn(room: ClusterRoom) -> None:
    """Each is named, with the rule that grants it."""
    room.cluster.lacking = [
        Right(verb="patch", resource="configmaps", name="cluster-conf"),
        Right(verb="create", resource="pods"),
    ]
    found = room.look()
    assert verdicts(found) == {"rights": FAILED, "optional rights": WARNING}
    assert "patch configmaps cluster-conf" in found["rights"].detail
    assert "resources: [pods], verbs: [create, delete]" in found["optional rights"].do


def test_a_namespace_of_somebody_else_fails(room: ClusterRoom) -> None:
    """By the words of the deploy's own refusal."""
    room.cluster.put("Namespace", NS, annotations={names.OWNER_ANNOTATION: "other/mark"})
    found = room.look()["ownership"]
    assert (found.verdict, "other/mark" in found.detail) == (FAILED, True)


def test_a_namespace_to_be_made_leaves_nothing_to_try(room: ClusterRoom) -> None:
    """Allowed, it is ok; forbidden, it fails as a deploy would."""
    del room.cluster.objects["Namespace", "", NS]
    found = room.look(room.request(probe=True, probe_image="reg/probe:1"))
    assert (verdicts(found), "objects" in found, room.trials.made) == ({"probe": UNKNOWN}, False, [])
    room.cluster.lacking = [Right(verb="create", resource="namespaces")]
    assert room.look()["namespace"].verdict is FAILED


def test_too_few_nodes_fail(room: ClusterRoom) -> None:
    """With the numbers."""
    found = room.look(room.request(make_spec(replicas=5)))["nodes"]
    assert (found.verdict, "5" in found.detail) == (FAILED, True)


def test_a_refused_object_is_named(room: ClusterRoom) -> None:
    """Before anything is changed."""
    room.cluster.forbidden = {("patch", "PodDisruptionBudget")}
    found = room.look()["objects"]
    assert (found.verdict, "PodDisruptionBudget" in found.detail) == (FAILED, True)


def test_a_pod_that_admission_refuses(room: ClusterRoom) -> None:
    """Pod Security is the usual one."""
    room.trials.refusal = ObjectRejected(
        "not admitted", evidence='violates PodSecurity "restricted:latest"', do="use another user", code="PODSECURITY"
    )
    found = room.look()["pod admission"]
    assert (found.verdict, found.do, "PODSECURITY" in found.detail) == (FAILED, "use another user", True)


def test_a_right_that_lacks_for_the_trial_makes_it_unknown(room: ClusterRoom) -> None:
    """With the rule of the Role."""
    room.trials.refusal = Forbidden("may not create pods")
    found = room.look()["pod admission"]
    assert (found.verdict, "Role rule: {apiGroups: [''], resources: [pods]" in found.do) == (UNKNOWN, True)


def test_a_credential_that_this_worker_lacks(room: ClusterRoom) -> None:
    """The rest is looked at all the same."""

    class Empty:
        def login(self, ref: SecretRef | None, host: str) -> None:
            raise CredentialsMissing("cannot be resolved", on=f"{ref} for {host}")

    site = PreflightCluster(room.cluster, room.trials, Empty(), room.reach, OWNER)
    found = {one.name: one for one in cluster_checks(site, room.request(with_login(make_spec())), room.beats.append)}
    assert verdicts(found) == {"pull credentials for pods": FAILED}


def test_a_cluster_that_does_not_answer_ends_its_checks(room: ClusterRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    """One failure, not twelve; the coordinator is looked at anyway."""

    def down() -> str:
        raise Unavailable("the Kubernetes API is not reachable", code="CONTROL_PLANE_DOWN")

    monkeypatch.setattr(room.cluster, "uid", down)
    found = room.look(room.request(probe=True, probe_image="probe"))
    assert list(found) == ["pull credentials for pods", "Kubernetes", "coordinator", "probe"]
    assert verdicts(found) == {"Kubernetes": FAILED, "probe": UNKNOWN}


def test_a_fault_of_a_check_is_no_end(room: ClusterRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is unknown, and the others are looked at."""

    def broken() -> str:
        raise KeyError("metadata")

    monkeypatch.setattr(room.cluster, "uid", broken)
    found = room.look()
    assert verdicts(found) == {"Kubernetes": UNKNOWN}
    assert "KeyError" in found["Kubernetes"].detail


def test_a_cancellation_passes_through() -> None:
    """Nobody waits for the report any more."""

    def cancelled() -> Check:
        raise CancelledError("enough")

    with pytest.raises(CancelledError):
        Checks(lambda _: None).look("rights", cancelled)


def test_whoever_is_tired_of_waiting_ends_all_checks(room: ClusterRoom) -> None:
    """What the beat raises is no finding of the check that was at work."""

    class Enough(Exception):
        """As the CLI's own time limit."""

    def beat(text: str) -> None:
        if text.startswith("trying"):
            raise Enough

    with pytest.raises(Enough):
        cluster_checks(room.site(), room.request(), beat)


def test_the_probe_is_run_and_taken_away(room: ClusterRoom) -> None:
    """Its word stands beside the worker's own."""
    found = room.look(room.request(probe=True, probe_image="reg/probe:1"))
    assert found["probe"] == ok("probe", "node n1 reaches the coordinator")
    assert room.cluster.writes == [f"delete Pod/{coordinator_probe.POD_NAME}"]
    assert [pod["spec"]["containers"][0]["image"] for pod in room.trials.made] == ["reg/probe:1"]


def test_a_node_that_reaches_it_outvotes_the_worker(room: ClusterRoom) -> None:
    """And one that does not fails the preflight although the worker does."""
    room.ending = "refused"
    asked = room.request(probe=True, probe_image="reg/probe:1")
    assert verdicts(room.look(asked)) == {"coordinator": WARNING}
    room.ending = "ok"
    ended = {"terminated": {"exitCode": 1, "message": "connection refused"}}
    room.trials.status = {"phase": "Failed", "containerStatuses": [{"state": ended}]}
    assert verdicts(room.look(asked)) == {"probe": FAILED}


def probing(room: ClusterRoom, wait: float = 60) -> Probe:
    """One probe."""
    asked = room.request(probe=True, probe_image="reg/probe:1")
    return Probe(room.cluster, room.trials, asked, OWNER, room.beats.append, wait)


def never() -> bool:
    """The worker goes on."""
    return False


def test_a_leftover_of_ours_is_removed_first(room: ClusterRoom) -> None:
    """A killed worker's, from whichever Temporal; then the new one is made."""
    room.cluster.put("Pod", coordinator_probe.POD_NAME, NS, annotations={names.OWNER_ANNOTATION: f"elsewhere/{ID}"})
    assert probing(room).run("10.0.0.9", 1, never).verdict is OK
    assert room.cluster.writes == [f"delete Pod/{coordinator_probe.POD_NAME}"] * 2


def test_a_pod_of_that_name_that_is_not_ours_is_let_alone(room: ClusterRoom) -> None:
    """And said."""
    room.cluster.put("Pod", coordinator_probe.POD_NAME, NS)
    found = probing(room).run("10.0.0.9", 1, never)
    assert (found.verdict, room.cluster.writes, room.trials.made) == (UNKNOWN, [], [])


@pytest.mark.parametrize("refusal", [Forbidden("may not create pods"), ObjectRejected("exceeded quota", code="QUOTA")])
def test_a_probe_that_may_not_be_made_is_unknown(room: ClusterRoom, refusal: Exception) -> None:
    """It says nothing of the coordinator."""
    room.trials.refusal = refusal
    assert probing(room).run("10.0.0.9", 1, never).verdict is UNKNOWN


def test_a_probe_without_an_end_is_given_up(room: ClusterRoom) -> None:
    """And taken away."""
    room.trials.status = {"phase": "Running"}
    found = probing(room, wait=-1).run("10.0.0.9", 1, never)
    assert (found.verdict, room.cluster.writes) == (UNKNOWN, [f"delete Pod/{coordinator_probe.POD_NAME}"])


def test_a_cancelled_probe_is_taken_away(room: ClusterRoom) -> None:
    """Whatever happens meanwhile."""
    room.trials.status = {"phase": "Running"}
    room.cluster.steps = [lambda: None]

    def beat(_: str) -> None:
        raise CancelledError("enough")

    asked = room.request(probe=True, probe_image="reg/probe:1")
    with pytest.raises(CancelledError):
        Probe(room.cluster, room.trials, asked, OWNER, beat).run("10.0.0.9", 1, never)
    assert room.cluster.writes == [f"delete Pod/{coordinator_probe.POD_NAME}"]


def test_the_activity_names_a_cluster_that_it_does_not_know(room: ClusterRoom) -> None:
    """As every activity does; and knows the deployment's owner mark."""
    activities = PreflightActivities(
        {"default": room.cluster}, {"default": room.trials}, FakeSecrets(), "temporal/default", room.reach
    )
    report = Room().run(activities.preflight_cluster, room.request())
    assert report.ok
    with pytest.raises(SettingsInvalid, match="CLUSTER=other"):
        Room().run(activities.preflight_cluster, room.request(make_spec(cluster="other")))
