"""The refusals of API server admission, with code and remedy, whoever asked: we ourselves or a controller for a pod."""

import re
from typing import NamedTuple

from domain.diagnosis import Severity


class AdmissionRefusal(NamedTuple):
    """A kind of refusal, recognised by its text."""

    pattern: re.Pattern[str]
    code: str
    what: str
    do: str
    severity: Severity = Severity.FATAL


_REFUSALS = [
    AdmissionRefusal(
        re.compile(r"exceeded quota|insufficient quota", re.IGNORECASE),
        "QUOTA",
        "a ResourceQuota refuses more pods",
        "raise the ResourceQuota that the evidence names, or deploy fewer or smaller clients (`proverctl scale N`)",
    ),
    AdmissionRefusal(
        re.compile(r"violates PodSecurity", re.IGNORECASE),
        "PODSECURITY",
        "Pod Security refuses the pods",
        "set a numeric USER other than 0 in the base image (PROVER_BASE_IMAGE), or relax the namespace's label "
        "pod-security.kubernetes.io/enforce",
    ),
    AdmissionRefusal(
        re.compile(r"failed calling webhook|failed to call webhook", re.IGNORECASE),
        "ADMISSION_DOWN",
        "an admission webhook does not answer",
        "look at the service of the webhook that the evidence names; creation is retried",
        Severity.TRANSIENT,
    ),
    AdmissionRefusal(
        re.compile(r"admission webhook|ValidatingAdmissionPolicy", re.IGNORECASE),
        "ADMISSION_DENIED",
        "an admission policy refuses the pods",
        "ask the policy's owner, or change what the evidence names",
    ),
    AdmissionRefusal(
        re.compile(
            r"failed quota|must specify|(?:maximum|minimum) (?:cpu|memory)|usage per|limit to request ratio",
            re.IGNORECASE,
        ),
        "LIMITRANGE",
        "a LimitRange or quota demands other requests or limits",
        "set CLIENT_CPU and CLIENT_MEMORY to what the evidence asks for",
    ),
    AdmissionRefusal(
        re.compile(r"serviceaccount .* not found|error looking up service account", re.IGNORECASE),
        "STUCK_CREATING",
        "the namespace's service account does not exist yet",
        "look at the cluster's controller manager, which makes it; creation is retried",
        Severity.TRANSIENT,
    ),
]
_NO_DRY_RUN = "does not support dry run"


def refusal(message: str) -> AdmissionRefusal | None:
    """Return the first kind of refusal whose text the API server's message has."""
    return next((one for one in _REFUSALS if one.pattern.search(message)), None)


def by_quota(message: str) -> bool:
    """Return whether a ResourceQuota is used up."""
    found = refusal(message)
    return found is not None and found.code == "QUOTA"


def by_webhook_failure(message: str) -> bool:
    """Return whether a webhook could not be called, so that trying again helps."""
    found = refusal(message)
    return found is not None and found.code == "ADMISSION_DOWN"


def for_dry_run(message: str) -> bool:
    """Return whether a webhook was not asked because its side effects rule out a dry run."""
    return _NO_DRY_RUN in message
