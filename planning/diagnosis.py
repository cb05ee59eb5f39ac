"""Says why a rollout does not finish: one finding with counts and verbatim evidence, never a bare timeout.

To recognise something new add a rule to `pod_findings` (a pod exists) or `creation` (no pod exists).
"""

from collections import Counter
from typing import NamedTuple

from domain.diagnosis import Diagnosis, Severity
from domain.ports import Manifest
from planning import creation, live, pod_findings, text

_RANK = [
    Severity.FATAL,
    Severity.INVALID,
    Severity.REFUSED,
    Severity.NEEDS_HUMAN,
    Severity.TRANSIENT,
    Severity.PROGRESS,
]


class Evidence(NamedTuple):
    """What is looked at: the pods of the wanted release, and those that still stand in their way."""

    deployment: Manifest
    replica_set: Manifest | None  # of the wanted release
    pods: list[Manifest]
    leaving: list[Manifest]  # older or terminating
    events: list[Manifest]
    now: float | None  # Unix time in seconds


def diagnose(evidence: Evidence) -> Diagnosis | None:
    """The finding that matters most: by who has to act, then by how many pods it holds up; None when all is well."""
    found = _strongest(evidence)
    expired = _deadline(evidence)
    if expired is None:
        return found
    if found is None:
        return expired
    if found.severity in (Severity.TRANSIENT, Severity.PROGRESS):
        # The deadline is longer than any key load: what has lasted until now will not pass by itself.
        because = f"{found.because}; the progress deadline has passed".lstrip("; ")
        return found.model_copy(update={"severity": Severity.NEEDS_HUMAN, "because": because})
    return found


def _strongest(evidence: Evidence) -> Diagnosis | None:
    total = len(evidence.pods) or int(live.spec(evidence.deployment).get("replicas") or 0)
    found: list[tuple[Manifest, Diagnosis]] = []
    events = live.by_object(evidence.events)
    for pod in evidence.pods:
        finding = pod_findings.judge(
            pod,
            events.get(live.uid(pod), []),
            now=evidence.now,
            blocked_by=len(evidence.leaving),
            surge_only=_needs_surge(evidence),
        )
        if finding:
            found.append((pod, finding))
    for pod in evidence.leaving:
        stuck = pod_findings.judge_leaving(pod, now=evidence.now)
        if stuck:
            found.append((pod, stuck))
    candidates = _aggregate(found, total)
    refused = creation.judge(evidence.replica_set, evidence.deployment, leaving=len(evidence.leaving))
    if refused:
        candidates.insert(0, refused)
    return min(candidates, key=lambda finding: _RANK.index(finding.severity), default=None)


def _aggregate(found: list[tuple[Manifest, Diagnosis]], total: int) -> list[Diagnosis]:
    """One line a cause, the most frequent first; fifty equal pods are one finding."""
    counts = Counter((finding.code, finding.severity) for _, finding in found)
    lines = []
    for (code, severity), count in counts.most_common():
        pod, finding = next(pair for pair in found if (pair[1].code, pair[1].severity) == (code, severity))
        namespace = (pod.get("metadata") or {}).get("namespace", "")
        on = f"pod {namespace}/{live.name(pod)} ({count} of {max(total, count)} pods)"
        lines.append(finding.model_copy(update={"on": on, "evidence": text.one_line(finding.evidence)}))
    return lines


def _needs_surge(evidence: Evidence) -> bool:
    """Whether the strategy removes no old pod before a new one runs: on full nodes that never ends."""
    strategy = live.spec(evidence.deployment).get("strategy") or {}
    unavailable = str((strategy.get("rollingUpdate") or {}).get("maxUnavailable", "1"))
    return strategy.get("type") == "RollingUpdate" and unavailable in ("0", "0%")


def _deadline(evidence: Evidence) -> Diagnosis | None:
    condition = live.condition(evidence.deployment, "Progressing")
    if condition.get("reason") != "ProgressDeadlineExceeded" or evidence.replica_set is None:
        return None
    message = str(condition.get("message") or "")
    if live.name(evidence.replica_set) not in message:
        return None  # left over from an earlier rollout
    ready = sum(live.ready(pod) for pod in evidence.pods)
    return Diagnosis(
        code="DEADLINE",
        what=f"the rollout made no progress within its deadline: {ready} of {len(evidence.pods)} pods are ready",
        on=f"Deployment {live.name(evidence.deployment)}",
        evidence=text.one_line(message),
        because="no pod or event says why",
        do="look at the pods with `kubectl describe pods -l role=cluster-prover`",
        severity=Severity.FATAL,
    )
