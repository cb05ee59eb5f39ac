"""Recognises why the API server refuses to create pods: the reason sits on the ReplicaSet, for no pod exists."""

import re
from typing import NamedTuple

from domain.diagnosis import Diagnosis, Severity
from domain.ports import Manifest
from planning import live, text


class Rule(NamedTuple):
    """What the refusal looks like, and what it means."""

    pattern: re.Pattern[str]
    code: str
    what: str
    do: str
    severity: Severity


_RULES = [
    Rule(
        re.compile(r"exceeded quota|insufficient quota", re.IGNORECASE),
        "QUOTA",
        "a ResourceQuota refuses more pods",
        "raise the quota that the evidence names, or deploy fewer clients (`proverctl scale N`)",
        Severity.FATAL,
    ),
    Rule(
        re.compile(r"violates PodSecurity", re.IGNORECASE),
        "PODSECURITY",
        "Pod Security refuses the pods",
        "set a numeric USER other than 0 in the base image (PROVER_BASE_IMAGE), or relax the namespace's label "
        "pod-security.kubernetes.io/enforce",
        Severity.FATAL,
    ),
    Rule(
        re.compile(r"failed calling webhook|failed to call webhook", re.IGNORECASE),
        "ADMISSION_DOWN",
        "an admission webhook does not answer",
        "look at the webhook that the evidence names; creation is retried",
        Severity.TRANSIENT,
    ),
    Rule(
        re.compile(r"admission webhook .* denied|ValidatingAdmissionPolicy .* denied", re.IGNORECASE),
        "ADMISSION_DENIED",
        "an admission policy refuses the pods",
        "ask the policy's owner, or change what the evidence names",
        Severity.FATAL,
    ),
    Rule(
        re.compile(r"must specify|(?:maximum|minimum) (?:cpu|memory)|limit to request ratio", re.IGNORECASE),
        "LIMITRANGE",
        "a LimitRange or quota demands other requests or limits",
        "set CLIENT_CPU and CLIENT_MEMORY to what the evidence asks for",
        Severity.FATAL,
    ),
    Rule(
        re.compile(r"serviceaccount .* not found|error looking up service account", re.IGNORECASE),
        "STUCK_CREATING",
        "the namespace's service account does not exist yet",
        "",
        Severity.TRANSIENT,
    ),
]
_OTHER = Rule(
    re.compile(""),
    "CREATE_FAILED",
    "pods cannot be created",
    "read the evidence; creation is retried",
    Severity.TRANSIENT,
)


def judge(replica_set: Manifest | None, deployment: Manifest, *, leaving: int) -> Diagnosis | None:
    """Why pods of the wanted release cannot be created; None when nothing says so.

    `leaving` counts older pods: a quota that they still fill is a matter of waiting for them.
    """
    owner = replica_set or deployment
    condition = live.condition(owner, "ReplicaFailure")
    if condition.get("status") != "True":
        return None
    message = str(condition.get("message") or "")
    rule = classify(message)
    waits = rule.code == "QUOTA" and leaving
    return Diagnosis(
        code=rule.code,
        what=rule.what,
        on=f"{owner.get('kind') or 'ReplicaSet'} {live.name(owner)}",
        evidence=text.one_line(message),
        because=f"{leaving} older pods still count" if waits else "",
        do=rule.do,
        severity=Severity.TRANSIENT if waits else rule.severity,
    )


def classify(message: str) -> Rule:
    """The first rule that recognises the API server's refusal."""
    return next((rule for rule in _RULES if rule.pattern.search(message)), _OTHER)
