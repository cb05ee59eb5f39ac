"""What a preflight says: numbers, and a remedy wherever something is in the way."""

import pytest

from domain.diagnosis import Diagnosis, Severity
from domain.errors import CredentialsRejected, Forbidden, ObjectRejected
from domain.kubernetes import Right
from domain.messages.inspection import Check, CheckVerdict
from domain.messages.nodes import NodesReport, NodeVerdict
from domain.messages.release import Target
from domain.messages.source import Source
from domain.spec import ClusterSpec, Endpoint, ImageTarget, Shortage
from planning.preflight import checks

OK, WARNING, UNKNOWN, FAILED = CheckVerdict.OK, CheckVerdict.WARNING, CheckVerdict.UNKNOWN, CheckVerdict.FAILED


def spec(**changes: object) -> ClusterSpec:
    """Return a small cluster."""
    least = ClusterSpec(namespace="fleet", coordinator=Endpoint(ip="10.0.0.9"), image=ImageTarget(repository="prover"))
    return least.model_copy(update=changes)


def test_an_error_keeps_its_words_and_its_remedy() -> None:
    """What a deploy would fail with is failed; what we may not look at is unknown."""
    rejected = checks.from_error("registry push", CredentialsRejected("it says no", on="reg/prover", do="mend it"))
    assert (rejected.verdict, rejected.do) == (FAILED, "mend it")
    assert rejected.detail == "CREDENTIALS: it says no on reg/prover."
    assert checks.from_error("quota", Forbidden("may not list")).verdict is UNKNOWN


def test_missing_required_rights_are_counted_named_and_come_as_rules() -> None:
    """Those of the namespace and those on nodes."""
    lacking = [Right(verb="patch", resource="deployments", group="apps", name="prover-cli-t")]
    found = checks.required_rights(lacking, [Right(verb="list", resource="nodes")], 43, "fleet")
    assert found.verdict is FAILED
    assert "2 of 43" in found.detail
    assert "patch deployments.apps prover-cli-t, list nodes" in found.detail
    assert found.do.startswith("let an administrator apply the output of: proverctl rbac -n fleet")
    assert "Role rule: {apiGroups: [apps], resources: [deployments]" in found.do
    assert "ClusterRole rule: {apiGroups: [''], resources: [nodes]" in found.do
    assert checks.required_rights([], [], 43, "fleet").verdict is OK


def test_missing_optional_rights_only_warn() -> None:
    """A right on pods of the namespace and one of the same name in the cluster are two rules."""
    create, everywhere = Right(verb="create", resource="pods"), Right(verb="list", resource="pods")
    found = checks.optional_rights([create], [everywhere], 9, "fleet")
    assert (found.verdict, found.do.count("rule:")) == (WARNING, 2)
    assert checks.optional_rights([], [], 9, "fleet").verdict is OK


@pytest.mark.parametrize(
    ("report", "shortage", "verdict", "words"),
    [
        (NodesReport(wanted=2, usable=2, total=3, possible=2), Shortage.REFUSE, OK, "2 of 3 nodes are usable"),
        (
            NodesReport(wanted=9, usable=2, total=3, possible=2, diagnosis=Diagnosis(code="SCHED_NO_LABEL", what="no")),
            Shortage.REFUSE,
            FAILED,
            "SCHED_NO_LABEL: no",
        ),
        (
            NodesReport(wanted=9, usable=2, total=3, possible=2, diagnosis=Diagnosis(code="SCHED_NO_LABEL", what="no")),
            Shortage.FIT,
            WARNING,
            "SCHED_NO_LABEL: no",
        ),
        (
            NodesReport(
                wanted=1, usable=1, total=1, possible=1, nodes=[NodeVerdict(name="n", usable=True, warnings=["bare"])]
            ),
            Shortage.REFUSE,
            WARNING,
            "n: bare",
        ),
        (
            NodesReport(
                wanted=1, usable=1, total=1, possible=1, nodes=[NodeVerdict(name="n", usable=True, unknown=["pods"])]
            ),
            Shortage.REFUSE,
            UNKNOWN,
            "n: pods",
        ),
    ],
)
def test_nodes(report: NodesReport, shortage: Shortage, verdict: CheckVerdict, words: str) -> None:
    """Too few fail only when a deploy would refuse for it."""
    found = checks.nodes(report, spec(shortage=shortage))
    assert found.verdict is verdict
    assert words in found.detail


def test_a_quota_shows_its_numbers() -> None:
    """Each limited resource with what is used."""
    quota = {"metadata": {"name": "q"}, "status": {"hard": {"pods": "4", "limits.cpu": "8"}, "used": {"pods": "3"}}}
    assert checks.quota([quota]).detail == "q: pods 3 of 4, limits.cpu ? of 8"
    assert checks.quota([]).verdict is OK


@pytest.mark.parametrize(
    ("evidence", "verdict"),
    [
        ('pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true', FAILED),
        ("exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3", OK),
        ("failed quota: q: must specify limits.cpu", FAILED),
        ('admission webhook "w" does not support dry run', UNKNOWN),
    ],
)
def test_a_pod_that_is_not_admitted(evidence: str, verdict: CheckVerdict) -> None:
    """A quota that others fill now says nothing of the pods that are to be replaced; it is judged with the nodes."""
    error = ObjectRejected("not admitted", evidence=evidence, do="mend it")
    assert checks.pod(error, [], user_known=True).verdict is verdict


def test_a_pod_that_is_admitted() -> None:
    """With warnings of the API server, and with a user that nobody could look up."""
    assert checks.pod(None, [], user_known=True).verdict is OK
    assert checks.pod(None, ["would violate PodSecurity"], user_known=True).verdict is WARNING
    assert checks.pod(None, [], user_known=False).verdict is UNKNOWN


@pytest.mark.parametrize(
    ("ending", "verdict", "words"),
    [
        ("ok", OK, "reaches 10.0.0.9:50055"),
        ("refused", FAILED, "nothing listens there"),
        ("loopback", FAILED, "its coordinator listens on loopback only"),
        ("timeout", WARNING, "firewall"),
        ("no-route", WARNING, "no route"),
        ("unknown-host", WARNING, "cannot be resolved"),
        ("Permission denied", WARNING, "Permission denied"),
    ],
)
def test_the_coordinator_as_the_worker_meets_it(ending: str, verdict: CheckVerdict, words: str) -> None:
    """Refused means that nothing listens; what is silent from here may answer the nodes."""
    found = checks.coordinator("10.0.0.9", 50055, ending)
    assert found.verdict is verdict
    assert words in found.detail
    assert bool(found.do) is (ending != "ok")


def test_a_node_that_reaches_the_coordinator_outvotes_the_worker() -> None:
    """Clients run on nodes."""
    refused = checks.coordinator("10.0.0.9", 50055, "refused")
    assert checks.outvoted(refused, Check(name="probe", verdict=OK)).verdict is WARNING
    assert checks.outvoted(refused, Check(name="probe", verdict=FAILED)) == refused
    fine = checks.coordinator("10.0.0.9", 50055, "ok")
    assert checks.outvoted(fine, Check(name="probe", verdict=OK)) == fine


@pytest.mark.parametrize(
    ("serv", "place"),
    [
        ("", ("10.0.0.9", 50055)),
        ("http://coordinator.example:8080", ("coordinator.example", 8080)),
        ("http://coordinator.example", ("coordinator.example", 80)),
        ("https://[fd00::9]/", ("fd00::9", 443)),
    ],
)
def test_where_clients_go_in_the_end(serv: str, place: tuple[str, int]) -> None:
    """COORDINATOR_SERV wins, as it does in the clients."""
    assert checks.coordinator_of(spec(coordinator_serv=serv)) == place


def test_ipv6_is_shown_with_brackets() -> None:
    """As it is written in URLs."""
    assert "[fd00::9]:50055" in checks.coordinator("fd00::9", 50055, "ok").detail


def test_a_dirty_tree_that_is_allowed_is_a_warning() -> None:
    """A clean one shows the commit."""
    clean = Source(commit="a" * 40, stage="aaaaaaa")
    assert checks.source(clean, "/srv/backend").detail == "commit aaaaaaaaaaaa of /srv/backend, stage aaaaaaa"
    assert checks.source(clean.model_copy(update={"dirty": True}), "/srv/backend").verdict is WARNING


def test_ownership_and_namespace() -> None:
    """Free, ours, or with a remark."""
    free = Target(cluster_uid="u")
    assert checks.ownership(free).detail == "free: nothing of our names"
    assert "stage abc" in checks.ownership(free.model_copy(update={"deployed": True, "stage": "abc"})).detail
    assert checks.ownership(free.model_copy(update={"warnings": ["odd"]})).verdict is WARNING
    assert "does not exist yet" in checks.namespace(spec(), exists=False).detail


def test_refused_objects_are_all_named() -> None:
    """With the first one's remedy."""
    errors = [
        ObjectRejected("a field cannot be changed", on="Service x", do="tear down", code="IMMUTABLE_FIELD"),
        ObjectRejected("no", on="Deployment y"),
    ]
    found = checks.dry_run([*errors], 5)
    assert (found.verdict, found.do) == (FAILED, "tear down")
    assert ("IMMUTABLE_FIELD" in found.detail, "Deployment y" in found.detail) == (True, True)
    assert checks.dry_run([], 5).detail == "the API server would take all 5"


def test_a_diagnosis_of_nodes_keeps_its_severity_out_of_the_check() -> None:
    """The verdict alone says what it means for the deploy."""
    short = Diagnosis(code="QUOTA", what="1 fits", do="raise it", severity=Severity.REFUSED)
    found = checks.nodes(NodesReport(wanted=2, usable=2, total=2, possible=1, diagnosis=short), spec())
    assert (found.verdict, found.do) == (FAILED, "raise it")
