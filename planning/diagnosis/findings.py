"""The findings why a rollout does not finish, with counts and verbatim evidence, never a bare timeout.

To recognise something new add a rule to `pod` (a pod exists), `pod_creation` (no pod exists) or `coordinator` (clients
run); what only the whole group tells, such as the nodes concerned, is added by `details`.
"""

from domain.diagnosis import Diagnosis, Severity
from domain.kubernetes import Manifest, Snapshot
from domain.messages.source import Source
from planning.diagnosis import client_work, coordinator, details, disruption, pod_creation, release_view
from planning.diagnosis.pod import IDLE_GRACE_SECONDS, leaving_finding, pod_finding
from planning.diagnosis.release_view import ReleaseView
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
    """Return everything that is wrong, the most important first; arguments as in `rollout_status.observe`."""
    found = release_view.view_of(snapshot, app=app, stage=stage, image=image, autoscale=autoscale, trial=trial)
    return release_findings(found) if found else []


def release_findings(view: ReleaseView) -> list[Diagnosis]:
    """Return the findings by who has to act, then by the pods that each holds up; empty when nothing is wrong."""
    if not view.seen:
        # What the status says is about the spec before: its deadline, its ReplicaSet and its pods are all history.
        return _unseen(view)
    # What took a client away comes before what keeps its replacement waiting, as long as nobody has to act.
    found = [
        *pod_creation.creation_findings(view),
        *disruption.disruption_findings(view),
        *_of_pods(view),
        *coordinator.coordinator_findings(view),
    ]
    found.sort(key=lambda finding: _RANK.index(finding.severity))
    served = _serving(view)
    return [finding.model_copy(update={"serving": served}) for finding in _with_deadline(found, view)]


def with_circuit(found: list[Diagnosis], circuit: str, source: Source) -> list[Diagnosis]:
    """Add what a comparison of the clients' circuit with the backend's configuration finds, in place of a guess."""
    mismatch = client_work.unknown_circuit(circuit, source)
    if mismatch is None:
        return found
    others = [finding for finding in found if finding.code != mismatch.code]
    return sorted([*others, mismatch], key=lambda finding: _RANK.index(finding.severity))


def _of_pods(view: ReleaseView) -> list[Diagnosis]:
    """Return one finding for each cause, the most frequent first; fifty equal pods are one."""
    groups: dict[str, list[tuple[Manifest, Diagnosis]]] = {}
    for pod in view.pods:
        finding = pod_finding(pod, view)
        if finding:
            groups.setdefault(finding.code, []).append((pod, finding))
    for pod in view.leaving:
        finding = leaving_finding(pod, view)
        if finding:
            groups.setdefault(finding.code, []).append((pod, finding))
    total = len(view.pods) or objects.replicas(view.deployment)
    ordered = sorted(groups.values(), key=len, reverse=True)
    return [_group(group, total, view) for group in ordered]


def _group(group: list[tuple[Manifest, Diagnosis]], total: int, view: ReleaseView) -> Diagnosis:
    pod, worst = min(group, key=lambda pair: _RANK.index(pair[1].severity))
    on = f"pod {objects.namespace(pod)}/{objects.name(pod)} ({len(group)} of {max(total, len(group))} pods)"
    since = objects.earliest(finding.since for _, finding in group)
    merged = worst.model_copy(update={"on": on, "evidence": sanitize.one_line(worst.evidence), "since": since})
    return details.explain(merged, [member for member, _ in group], view)


def _serving(view: ReleaseView) -> str:
    """Return the clients of any release that still work, of those wanted."""
    ready = sum(objects.ready(pod) for pod in [*view.pods, *view.leaving])
    return f"{ready}/{objects.replicas(view.deployment)}"


def _unseen(view: ReleaseView) -> list[Diagnosis]:
    """Return the finding for a Deployment that no controller has acted on since it was made."""
    age = objects.elapsed(objects.created(view.deployment), view.now)
    if objects.status(view.deployment).get("observedGeneration") or age is None or age < IDLE_GRACE_SECONDS:
        return []
    return [
        Diagnosis(
            code="CONTROL_PLANE_DOWN",
            what="nobody has made pods of the Deployment",
            on=f"Deployment {objects.name(view.deployment)}",
            because="the cluster's controller manager does not run, or is far behind",
            do="look at the control plane (kube-controller-manager); the rollout goes on by itself then",
            severity=Severity.TRANSIENT,
            since=objects.created(view.deployment),
            grace=int(IDLE_GRACE_SECONDS),
        )
    ]


def _with_deadline(found: list[Diagnosis], view: ReleaseView) -> list[Diagnosis]:
    """Add the deadline where nothing else explains it; what lasted until then will not pass by itself."""
    expired = _deadline(view)
    if expired is None:
        return found
    if not found:
        return [expired]
    if found[0].severity not in _PASSING:
        return found
    because = f"{found[0].because}; the progress deadline has passed".removeprefix("; ")
    late = {"severity": Severity.NEEDS_HUMAN, "because": because, "grace": 0}
    return [found[0].model_copy(update=late), *found[1:]]


def _deadline(view: ReleaseView) -> Diagnosis | None:
    """Return the deadline of this rollout; the condition of an earlier one names another ReplicaSet."""
    condition = objects.condition(view.deployment, "Progressing")
    message = str(condition.get("message") or "")
    if condition.get("reason") != "ProgressDeadlineExceeded" or view.replica_set is None:
        return None
    if objects.name(view.replica_set) not in message:
        return None
    ready = sum(objects.ready(pod) for pod in view.pods)
    return Diagnosis(
        code="DEADLINE",
        what=f"the rollout made no progress within its deadline: {ready} of {objects.replicas(view.deployment)} "
        f"pods are ready, {len(view.pods)} exist",
        on=f"Deployment {objects.name(view.deployment)}",
        evidence=sanitize.one_line(message),
        because="no pod or event says why",
        do="look at the pods with `kubectl describe pods -l role=cluster-prover`",
        severity=Severity.NEEDS_HUMAN,  # nobody knows that it is hopeless
        since=str(condition.get("lastTransitionTime") or ""),
    )
