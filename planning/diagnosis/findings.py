"""Says why a rollout does not finish: findings with counts and verbatim evidence, never a bare timeout.

To recognise something new add a rule to `pod` (a pod exists), `pod_creation` (no pod exists) or `coordinator` (clients
run); what only the whole group tells, such as the nodes concerned, is added by `details`.
"""

from domain.diagnosis import Diagnosis, Severity
from domain.kubernetes import Manifest, Snapshot
from domain.messages.source import Source
from planning.diagnosis import client_work, coordinator, details, disruption, pod_creation, release_view
from planning.diagnosis.pod import IDLE_GRACE, judge_leaving, judge_pod
from planning.diagnosis.release_view import Evidence
from planning.kubernetes import objects
from planning.text import sanitize

_RANK = [
    Severity.FATAL,
    Severity.INVALID,
    Severity.REFUSED,
    Severity.NEEDS_HUMAN,
    Severity.TRANSIENT,
    Severity.PROGRESS,
]
_PASSING = (Severity.TRANSIENT, Severity.PROGRESS)


def findings(
    snapshot: Snapshot, *, app: str, stage: str, image: str, autoscale: bool = False, trial: bool = False
) -> list[Diagnosis]:
    """Everything that is wrong, the most important first; the arguments are those of `rollout.observe`."""
    found = release_view.gather(snapshot, app=app, stage=stage, image=image, autoscale=autoscale, trial=trial)
    return judge(found) if found else []


def judge(evidence: Evidence) -> list[Diagnosis]:
    """The findings by who has to act, then by how many pods each holds up; empty when nothing is known to be wrong."""
    if not evidence.seen:
        # What the status says is about the spec before: its deadline, its ReplicaSet and its pods are all history.
        return _unseen(evidence)
    # What took a client away comes before what keeps its replacement waiting, as long as nobody has to act.
    found = [
        *pod_creation.judge(evidence),
        *disruption.judge(evidence),
        *_of_pods(evidence),
        *coordinator.judge(evidence),
    ]
    found.sort(key=lambda finding: _RANK.index(finding.severity))
    served = _serving(evidence)
    return [finding.model_copy(update={"serving": served}) for finding in _with_deadline(found, evidence)]


def with_circuit(found: list[Diagnosis], circuit: str, source: Source) -> list[Diagnosis]:
    """Add what a comparison of the clients' circuit with the backend's configuration finds, in place of a guess."""
    mismatch = client_work.unknown_circuit(circuit, source)
    if mismatch is None:
        return found
    others = [finding for finding in found if finding.code != mismatch.code]
    return sorted([*others, mismatch], key=lambda finding: _RANK.index(finding.severity))


def _of_pods(evidence: Evidence) -> list[Diagnosis]:
    """One finding a cause, the most frequent first; fifty equal pods are one."""
    groups: dict[str, list[tuple[Manifest, Diagnosis]]] = {}
    for pod in evidence.pods:
        finding = judge_pod(pod, evidence)
        if finding:
            groups.setdefault(finding.code, []).append((pod, finding))
    for pod in evidence.leaving:
        finding = judge_leaving(pod, evidence)
        if finding:
            groups.setdefault(finding.code, []).append((pod, finding))
    total = len(evidence.pods) or objects.replicas(evidence.deployment)
    ordered = sorted(groups.values(), key=len, reverse=True)
    return [_group(group, total, evidence) for group in ordered]


def _group(group: list[tuple[Manifest, Diagnosis]], total: int, evidence: Evidence) -> Diagnosis:
    pod, worst = min(group, key=lambda pair: _RANK.index(pair[1].severity))
    on = f"pod {objects.namespace(pod)}/{objects.name(pod)} ({len(group)} of {max(total, len(group))} pods)"
    since = objects.earliest(finding.since for _, finding in group)
    merged = worst.model_copy(update={"on": on, "evidence": sanitize.one_line(worst.evidence), "since": since})
    return details.explain(merged, [member for member, _ in group], evidence)


def _serving(evidence: Evidence) -> str:
    """Clients of any release that still work, of those wanted."""
    ready = sum(objects.ready(pod) for pod in [*evidence.pods, *evidence.leaving])
    return f"{ready}/{objects.replicas(evidence.deployment)}"


def _unseen(evidence: Evidence) -> list[Diagnosis]:
    """A Deployment that nobody has looked at since it was made: then no pod will ever come."""
    age = objects.elapsed(objects.created(evidence.deployment), evidence.now)
    if objects.status(evidence.deployment).get("observedGeneration") or age is None or age < IDLE_GRACE:
        return []
    return [
        Diagnosis(
            code="CONTROL_PLANE_DOWN",
            what="nobody has made pods of the Deployment",
            on=f"Deployment {objects.name(evidence.deployment)}",
            because="the cluster's controller manager does not run, or is far behind",
            do="look at the control plane (kube-controller-manager); the rollout goes on by itself then",
            severity=Severity.TRANSIENT,
            since=objects.created(evidence.deployment),
            grace=int(IDLE_GRACE),
        )
    ]


def _with_deadline(found: list[Diagnosis], evidence: Evidence) -> list[Diagnosis]:
    """Never alone where anything else explains it; what has lasted until the deadline will not pass by itself."""
    expired = _deadline(evidence)
    if expired is None:
        return found
    if not found:
        return [expired]
    if found[0].severity not in _PASSING:
        return found
    because = f"{found[0].because}; the progress deadline has passed".removeprefix("; ")
    late = {"severity": Severity.NEEDS_HUMAN, "because": because, "grace": 0}
    return [found[0].model_copy(update=late), *found[1:]]


def _deadline(evidence: Evidence) -> Diagnosis | None:
    """The deadline of this rollout; the condition of an earlier one stays behind and names another ReplicaSet."""
    condition = objects.condition(evidence.deployment, "Progressing")
    message = str(condition.get("message") or "")
    if condition.get("reason") != "ProgressDeadlineExceeded" or evidence.replica_set is None:
        return None
    if objects.name(evidence.replica_set) not in message:
        return None
    ready = sum(objects.ready(pod) for pod in evidence.pods)
    return Diagnosis(
        code="DEADLINE",
        what=f"the rollout made no progress within its deadline: {ready} of {objects.replicas(evidence.deployment)} "
        f"pods are ready, {len(evidence.pods)} exist",
        on=f"Deployment {objects.name(evidence.deployment)}",
        evidence=sanitize.one_line(message),
        because="no pod or event says why",
        do="look at the pods with `kubectl describe pods -l role=cluster-prover`",
        severity=Severity.NEEDS_HUMAN,  # nobody knows that it is hopeless
        since=str(condition.get("lastTransitionTime") or ""),
    )
