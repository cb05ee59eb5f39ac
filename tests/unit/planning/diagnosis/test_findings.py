"""A rollout that cannot finish is explained by its cause; one that merely takes its time is not called a failure."""

from typing import Any

import pytest

from domain.diagnosis import Diagnosis, Severity
from domain.kubernetes import Manifest, Snapshot
from planning.diagnosis.findings import findings as all_findings
from tests.support.kubernetes import objects

FATAL, HUMAN, TRANSIENT, PROGRESS = Severity.FATAL, Severity.NEEDS_HUMAN, Severity.TRANSIENT, Severity.PROGRESS
PULL = 'Failed to pull image "{image}": rpc error: code = {code} desc = failed to pull and unpack image: {text}'


def diagnose(
    *pods: Manifest,
    leaving: list[Manifest] | None = None,
    events: list[Manifest] | None = None,
    deployment: Manifest | None = None,
    replica_set: Manifest | None = None,
    now: float | None = objects.NOW,
    **more: Any,
) -> Diagnosis | None:
    """Return the strongest finding about these pods of the wanted release; `more` is of the snapshot."""
    found = findings(
        *pods, *(leaving or []), events=events, deployment=deployment, replica_set=replica_set, now=now, **more
    )
    return next(iter(found), None)


def findings(
    *pods: Manifest,
    events: list[Manifest] | None = None,
    deployment: Manifest | None = None,
    replica_set: Manifest | None = None,
    now: float | None = objects.NOW,
    autoscale: bool = False,
    **more: Any,
) -> list[Diagnosis]:
    """All of them."""
    snapshot = Snapshot(
        now=now,
        deployment=deployment or objects.deployment(availableReplicas=0),
        replica_sets=[replica_set or objects.replica_set(), objects.old_replica_set()],
        pods=list(pods),
        events=events or [],
        **more,
    )
    return all_findings(snapshot, app="client", stage="abc", image=objects.IMAGE, autoscale=autoscale)


def verdict(found: Diagnosis | None) -> tuple[str, Severity] | None:
    """Code and class of a finding."""
    return (found.code, found.severity) if found else None


PULLS = [
    ('failed to resolve reference "h/p:t": h/p:t: not found', "IMAGE_NOT_FOUND"),
    ("manifest unknown: manifest unknown", "IMAGE_NOT_FOUND"),
    ("failed to authorize: failed to fetch anonymous token: 401 Unauthorized", "IMAGE_AUTH"),
    ("pull access denied, repository does not exist or may require authorization", "IMAGE_AUTH"),
    ("pulling from host h failed with status code [manifests t]: 403 Forbidden", "IMAGE_AUTH"),
    ("no match for platform in manifest: not found", "IMAGE_ARCH"),
]
OUTAGES = [
    "dial tcp 10.0.0.1:5000: connect: connection refused",
    "dial tcp: lookup registry.example.com: no such host",
    "net/http: TLS handshake timeout",
    "tls: failed to verify certificate: x509: certificate signed by unknown authority",
    "http: server gave HTTP response to HTTPS client",
    "unexpected status from HEAD request: 503 Service Unavailable",
    "429 Too Many Requests - toomanyrequests: You have reached your pull rate limit",
    "something that nobody has seen before",
]


@pytest.mark.parametrize(("text", "code"), PULLS)
@pytest.mark.parametrize(("tries", "severity"), [(1, TRANSIENT), (2, FATAL)])
def test_pull_errors_are_final_at_the_second_try(text: str, code: str, tries: int, severity: Severity) -> None:
    """The registry's definite answer is believed when it was given twice."""
    pod = objects.waiting("p1", "ErrImagePull", "short")
    message = PULL.format(image=objects.IMAGE, code="Unknown", text=text)
    found = diagnose(pod, events=[objects.event(pod, "Failed", message, tries)])
    assert verdict(found) == (code, severity)


def test_the_specific_message_survives_the_back_off() -> None:
    """Kubelet soon says only "Back-off pulling image": the event keeps the reason, and pods are counted."""
    pods = [objects.waiting(name, "ImagePullBackOff", 'Back-off pulling image "x"') for name in ("p1", "p2")]
    message = PULL.format(image="x", code="NotFound", text="x: not found")
    events = [objects.event(pod, "Failed", message, 2) for pod in pods]
    events += [objects.event(pod, "Failed", "Error: ImagePullBackOff", 9) for pod in pods]
    found = diagnose(*pods, events=events)
    assert found is not None
    assert (found.code, found.on, found.evidence) == ("IMAGE_NOT_FOUND", "pod fleet/p1 (2 of 2 pods)", message)


@pytest.mark.parametrize("text", OUTAGES)
@pytest.mark.parametrize(("age", "severity"), [(60, TRANSIENT), (601, HUMAN)])
def test_registry_outages_are_waited_for(text: str, age: float, severity: Severity) -> None:
    """A registry that does not answer may come back within ten minutes, however often it was tried."""
    pod = objects.waiting("p1", "ImagePullBackOff", age=age)
    message = PULL.format(image="x", code="Unavailable", text=text)
    found = diagnose(pod, events=[objects.event(pod, "Failed", message, 7)])
    assert verdict(found) == ("IMAGE_REGISTRY_DOWN", severity)


def test_pull_errors_without_the_right_to_read_events() -> None:
    """The pod's own status is enough: a back-off that lasts stands for the second try."""
    text = 'Back-off pulling image "x": ErrImagePull: rpc error: x: not found'
    young, old = (objects.waiting("p1", "ImagePullBackOff", text, age=age) for age in (5, 31))
    assert verdict(diagnose(young)) == ("IMAGE_NOT_FOUND", TRANSIENT)
    assert verdict(diagnose(old)) == ("IMAGE_NOT_FOUND", FATAL)
    assert verdict(diagnose(old, now=None)) == ("IMAGE_NOT_FOUND", TRANSIENT)


def test_a_long_pull_is_progress() -> None:
    """Keys are large: a pull without an error is never a failure."""
    pod = objects.waiting("p1", "ContainerCreating", age=5000)
    found = diagnose(pod, events=[objects.event(pod, "Pulling", "Pulling image")])
    assert verdict(found) == ("IMAGE_SLOW", PROGRESS)


NO_LABEL = "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. preemption: 0/2 nodes are."
FULL = (
    "0/4 nodes are available: 2 node(s) didn't match Pod's node affinity/selector, 2 node(s) didn't match pod "
    "anti-affinity rules. preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling."
)
MIXED = (
    "0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, "
    "2 node(s) didn't match Pod's node affinity/selector."
)
SCHEDULING = [
    (NO_LABEL, "SCHED_NO_LABEL"),
    (FULL, "SCHED_ANTIAFFINITY_FULL"),
    ("0/2 nodes are available: 2 node(s) didn't satisfy existing pods anti-affinity rules.", "SCHED_ANTIAFFINITY_FULL"),
    ("0/2 nodes are available: 2 node(s) had untolerated taint {dedicated: other}.", "SCHED_TAINT"),
    ("0/2 nodes are available: 2 node(s) had untolerated taint(s).", "SCHED_TAINT"),
    (MIXED, "SCHED_NO_LABEL"),
    ("0/1 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }.",
     "SCHED_NO_LABEL"),
    ("0/2 nodes are available: 1 Insufficient cpu, 2 Insufficient memory.", "SCHED_RESOURCES"),
    ("no nodes available to schedule pods", "SCHED_NO_LABEL"),
]  # fmt: skip


@pytest.mark.parametrize(("message", "code"), SCHEDULING)
@pytest.mark.parametrize(("age", "severity"), [(5, TRANSIENT), (61, HUMAN)])
def test_the_schedulers_reason_is_the_one_about_our_nodes(
    message: str, code: str, age: float, severity: Severity
) -> None:
    """The check that nodes meant for us fail counts, not the most frequent one; after a minute a person is needed."""
    assert verdict(diagnose(objects.unscheduled("p1", message, age=age))) == (code, severity)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("0/2 nodes are available: 2 node(s) were unschedulable.", "SCHED_CORDON"),
        ("0/2 nodes are available: 2 node(s) had untolerated taint {node.kubernetes.io/not-ready: }.",
         "NODE_NOT_READY"),
        ("0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/disk-pressure: }.",
         "NODE_NOT_READY"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(("age", "severity"), [(100, TRANSIENT), (301, HUMAN)])
def test_nodes_that_may_come_back_are_waited_for(message: str, code: str, age: float, severity: Severity) -> None:
    """A cordoned or unready node gets five minutes."""
    assert verdict(diagnose(objects.unscheduled("p1", message, age=age))) == (code, severity)


def test_findings_say_what_to_do() -> None:
    """The taint is named, and every finding ends in something to do."""
    found = diagnose(objects.unscheduled("p1", SCHEDULING[3][0], age=61))
    assert found is not None
    assert "dedicated: other" in found.what
    assert found.do


def test_waiting_for_an_older_pod_is_no_finding() -> None:
    """On full nodes the new pod waits until the old one is gone: that is how a rollout works."""
    leaving = objects.leaving(objects.pod("old", owner="prover-cli-t-old"))
    assert diagnose(objects.unscheduled("p1", FULL, age=300), leaving=[leaving]) is None


def test_surge_on_full_nodes_is_a_deadlock() -> None:
    """A strategy that removes no old pod first can never finish on full nodes."""
    owner = objects.deployment()
    owner["spec"]["strategy"]["rollingUpdate"] = {"maxSurge": 1, "maxUnavailable": 0}
    old = objects.pod("old", owner="prover-cli-t-old")
    found = diagnose(objects.unscheduled("p1", FULL), leaving=[old], deployment=owner)
    assert verdict(found) == ("SCHED_SURGE_DEADLOCK", FATAL)


REFUSALS = [
    ('pods "p" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1', "QUOTA", FATAL),
    ('pods "p" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true', "PODSECURITY", FATAL),
    ('admission webhook "policy.example.com" denied the request: no', "ADMISSION_DENIED", FATAL),
    ("ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no", "ADMISSION_DENIED", FATAL),
    ('Internal error occurred: failed calling webhook "w": connection refused', "ADMISSION_DOWN", TRANSIENT),
    ("failed quota: q: must specify limits.memory for: client", "LIMITRANGE", FATAL),
    ('pods "p" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi', "LIMITRANGE", FATAL),
    ("etcdserver: request timed out", "CREATE_FAILED", TRANSIENT),
]


def refused(message: str, age: float = 60) -> Manifest:
    """Return a ReplicaSet whose pods the API server has refused for so many seconds."""
    condition = {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": message,
        "lastTransitionTime": objects.ago(age),
    }
    return objects.replica_set() | {"status": {"conditions": [condition]}}


@pytest.mark.parametrize(("message", "code", "severity"), REFUSALS)
def test_refused_pods_are_explained_though_none_exists(message: str, code: str, severity: Severity) -> None:
    """The reason is read from the ReplicaSet, word by word."""
    found = diagnose(replica_set=refused(message))
    assert found is not None
    assert verdict(found) == (code, severity)
    assert (found.evidence, found.on) == (message, "ReplicaSet prover-cli-t-new (2 of 2 pods)")


def test_a_quota_that_older_pods_fill_frees_itself() -> None:
    """While older pods leave, the quota only slows the rollout down."""
    old = objects.pod("old", owner="prover-cli-t-old")
    assert verdict(diagnose(replica_set=refused(REFUSALS[0][0]), leaving=[old])) == ("QUOTA", TRANSIENT)


@pytest.mark.parametrize(
    ("reason", "message", "age", "expected"),
    [
        ("CreateContainerConfigError", 'configmap "cluster-conf" not found', 31, ("CONFIG_MISSING", FATAL)),
        ("CreateContainerConfigError", 'secret "s" not found', 5, ("CONFIG_MISSING", TRANSIENT)),
        ("CreateContainerConfigError", "failed to sync configmap cache: timed out", 99, None),
        ("CreateContainerConfigError", "container has runAsNonRoot and image will run as root", 31,
         ("PODSECURITY", FATAL)),
        ("RunContainerError", "exec /client: exec format error", 1, ("IMAGE_ARCH", FATAL)),
        ("InvalidImageName", "couldn't parse image reference", 1, ("IMAGE_NOT_FOUND", FATAL)),
        ("ContainerCreating", "", 5, None),
    ],
)  # fmt: skip
def test_waiting_containers(reason: str, message: str, age: float, expected: tuple[str, Severity] | None) -> None:
    """What is missing is fatal after its grace; kubelet's own warming up is nothing."""
    assert verdict(diagnose(objects.waiting("p1", reason, message, age=age))) == expected


@pytest.mark.parametrize(
    ("reason", "message", "age", "expected"),
    [
        ("FailedCreatePodSandBox", "failed to allocate for range 0: no IP addresses available", 5,
         ("STUCK_CREATING", TRANSIENT)),
        ("FailedCreatePodSandBox", "failed to allocate for range 0: no IP addresses available", 121,
         ("STUCK_CREATING", HUMAN)),
        ("FailedMount", 'MountVolume.SetUp failed for volume "config" : configmap "cluster-conf" not found', 31,
         ("CONFIG_MISSING", FATAL)),
    ],
)  # fmt: skip
def test_pods_that_cannot_be_set_up(reason: str, message: str, age: float, expected: tuple[str, Severity]) -> None:
    """Network and volumes are waited for; a missing ConfigMap is named as such."""
    pod = objects.waiting("p1", "ContainerCreating", age=age)
    assert verdict(diagnose(pod, events=[objects.event(pod, reason, message)])) == expected


@pytest.mark.parametrize(
    ("restarts", "reason", "code", "expected"),
    [
        (1, "Error", 101, ("CRASH_LOOP", TRANSIENT)),
        (3, "Error", 101, ("CRASH_LOOP", FATAL)),
        (1, "OOMKilled", 137, ("OOM", TRANSIENT)),
        (2, "OOMKilled", 137, ("OOM", FATAL)),
        (1, "ContainerCannotRun", 128, ("CANNOT_RUN", TRANSIENT)),
    ],
)
def test_crashes_are_counted_by_restarts(restarts: int, reason: str, code: int, expected: tuple[str, Severity]) -> None:
    """A client that ended once may run the next time; three times is a loop."""
    assert verdict(diagnose(objects.crashed("p1", restarts=restarts, reason=reason, code=code))) == expected


def test_the_last_output_is_the_evidence() -> None:
    """The client's own words are shown, without what could hurt a terminal."""
    found = diagnose(objects.crashed("p1", restarts=3, code=101, log="\x1b[31mERROR missing file mon.key\x1b[0m\n"))
    assert found is not None
    assert found.evidence == "ERROR missing file mon.key"
    assert "exit code 101" in found.what


def test_what_ends_without_an_error_is_no_client() -> None:
    """As a shell does; neither circuit files nor settings of the clients are at fault, but what the image runs."""
    found = diagnose(objects.crashed("p1", restarts=3, reason="Completed", code=0, log=""))
    assert found is not None
    assert (found.code, "CLIENT_COMMAND" in found.do, "circuit" in found.do) == ("CRASH_LOOP", True, False)


@pytest.mark.parametrize(("age", "expected"), [(2, ("CRASH_LOOP", TRANSIENT)), (60, None)])
def test_a_client_that_stays_up_has_recovered(age: float, expected: tuple[str, Severity] | None) -> None:
    """Right after a restart it may end again, or stay; after half a minute old crashes do not count."""
    pod = objects.crashed("p1", restarts=4)
    pod["status"]["containerStatuses"][0]["state"] = {"running": {"startedAt": objects.ago(age)}}
    assert verdict(diagnose(pod)) == expected


def test_a_pod_that_does_not_go_away_is_named() -> None:
    """A pod may hold a node long after its grace; before that it is nothing."""
    old = objects.pod("old", owner="prover-cli-t-old")
    assert diagnose(leaving=[objects.leaving(old, since=5)]) is None
    found = diagnose(leaving=[objects.leaving(old, since=61)])
    assert verdict(found) == ("TERMINATING_STUCK", HUMAN)


def expired(name: str) -> Manifest:
    """Return a Deployment whose condition says that this ReplicaSet ran out of time."""
    message = f'ReplicaSet "{name}" has timed out progressing.'
    condition = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": message}
    return objects.deployment(conditions=[condition])


def test_the_deadline_is_the_last_resort() -> None:
    """Alone only when nothing else explains it; with a cause, the cause is named and a person is needed."""
    silent = objects.pod("p1", conditions=[{"type": "Ready", "status": "False"}])
    assert verdict(diagnose(silent, deployment=expired("prover-cli-t-new"))) == ("DEADLINE", HUMAN)
    outage = objects.waiting("p1", "ImagePullBackOff", "connection refused")
    assert verdict(diagnose(outage, deployment=expired("prover-cli-t-new"))) == ("IMAGE_REGISTRY_DOWN", HUMAN)


def test_the_deadline_of_an_earlier_rollout_is_ignored() -> None:
    """The condition stays behind from the rollout before; it says nothing about this one."""
    assert diagnose(objects.waiting("p1"), deployment=expired("prover-cli-t-old")) is None


def test_the_gravest_finding_wins() -> None:
    """One pod that can never run matters more than two that wait."""
    waits = [objects.unscheduled(name, NO_LABEL) for name in ("p1", "p2")]
    found = diagnose(*waits, objects.crashed("p3", restarts=5))
    assert found is not None
    assert (found.code, found.on) == ("CRASH_LOOP", "pod fleet/p3 (1 of 3 pods)")


def test_healthy_pods_have_no_finding() -> None:
    """Pods that run, and pods that have just been created, are not diagnosed."""
    fresh = objects.pod("p2", age=0, phase="Pending", conditions=[], containerStatuses=[])
    assert diagnose(objects.pod("p1"), fresh) is None
