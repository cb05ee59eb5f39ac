"""The causes why the API server refuses to create pods: the reason is on the ReplicaSet, since no pod exists."""

import re
from decimal import Decimal

from domain.diagnosis import Diagnosis, Severity
from domain.kubernetes import Manifest
from planning.diagnosis.release_view import ReleaseView
from planning.kubernetes import admission, objects
from planning.kubernetes.admission import AdmissionRefusal
from planning.text import quantity, sanitize

QUOTA_GRACE_SECONDS = 30.0  # seconds: the count of a quota lags behind pods that have gone
DOWN_GRACE_SECONDS = 300.0  # seconds that a webhook, or what else refuses for the moment, may be away
_FAILED = "FailedCreate"


_OTHER = AdmissionRefusal(
    re.compile(""),
    "CREATE_FAILED",
    "pods cannot be created",
    "read the evidence; creation is retried",
    Severity.TRANSIENT,
)
_NAMED = {
    "ADMISSION_DENIED": re.compile(r"admission webhook \"([^\"]+)\"|ValidatingAdmissionPolicy '([^']+)'"),
    "ADMISSION_DOWN": re.compile(r"webhook \"([^\"]+)\""),
    "PODSECURITY": re.compile(r"(PodSecurity \"[^\"]+\")"),
    "LIMITRANGE": re.compile(
        r"((?:maximum|minimum) \w+ usage per \w+|\w+ max limit to request ratio|must specify \S+)"
    ),
}
_QUOTA = re.compile(
    r"exceeded quota: (?P<name>\S+), requested: (?P<requested>\S+), used: (?P<used>\S+), limited: (?P<limited>\S+)"
)


def creation_findings(view: ReleaseView) -> list[Diagnosis]:
    """Return why pods of the wanted release cannot be created; empty when nothing says so."""
    owner = view.replica_set or view.deployment
    condition = objects.condition(owner, "ReplicaFailure")
    if condition.get("status") != "True":
        return []
    message, since = _latest(owner, condition, view)
    refused = classify(message)
    short = objects.replicas(view.deployment) - len(view.pods)
    found = Diagnosis(
        code=refused.code,
        what=_what(refused, message),
        on=f"{owner.get('kind') or 'ReplicaSet'} {objects.name(owner)}"
        + (f" ({short} of {objects.replicas(view.deployment)} pods)" if short > 0 else ""),
        evidence=sanitize.one_line(message),
        do=refused.do,
        severity=refused.severity,
        since=since,
    )
    if refused.code == "QUOTA":
        return [_quota(found, message, view)]
    if refused.code == "PODSECURITY":
        return [_pod_security(found, message)]
    if refused.severity is Severity.TRANSIENT:
        return [_passing(found, view)]
    return [found]


def classify(message: str) -> AdmissionRefusal:
    """Return the kind of the API server's refusal; CREATE_FAILED when it is not a known one."""
    return admission.refusal(message) or _OTHER


def _latest(owner: Manifest, condition: dict[str, str], view: ReleaseView) -> tuple[str, str]:
    """Return the latest refusal, and since when it is given.

    The condition keeps the text of the first refusal until a pod is made, whatever refuses the later ones.
    """
    message, since = str(condition.get("message") or ""), str(condition.get("lastTransitionTime") or "")
    told = [event for event in view.of(owner) if event.get("reason") == _FAILED]
    if not told or not objects.later(objects.last_seen(told[-1]), since):
        return message, since
    code = classify(objects.message(told[-1])).code
    if code == classify(message).code:
        return message, since
    return objects.message(told[-1]), objects.earliest(
        objects.first_seen(event) for event in told if classify(objects.message(event)).code == code
    )


def _what(refused: AdmissionRefusal, message: str) -> str:
    found = _NAMED[refused.code].search(message) if refused.code in _NAMED else None
    named = next((group for group in found.groups() if group), "") if found else ""
    return f"{refused.what} ({named})" if named else refused.what


def _passing(found: Diagnosis, view: ReleaseView) -> Diagnosis:
    lasted = objects.elapsed(found.since, view.now)
    late = lasted is not None and lasted >= DOWN_GRACE_SECONDS
    return found.model_copy(
        update={"grace": int(DOWN_GRACE_SECONDS), "severity": Severity.NEEDS_HUMAN if late else Severity.TRANSIENT}
    )


def _pod_security(found: Diagnosis, message: str) -> Diagnosis:
    """Name each violated field: `allowPrivilegeEscalation != false (container "client" must set …), …`."""
    listed = message.partition('": ')[2]
    fields = re.findall(r"(?:^|, )([^(),]+?) \(", listed)
    if not fields:
        return found
    return found.model_copy(update={"because": f"{len(fields)} fields of the pod violate it: {'; '.join(fields)}"})


def _quota(found: Diagnosis, message: str, view: ReleaseView) -> Diagnosis:
    """Decide by who holds the quota: older pods of ours free it, others do not."""
    parsed = _QUOTA.search(message)
    if parsed:
        what = (
            f"ResourceQuota {parsed['name']} refuses more pods: {parsed['requested']} is asked for, "
            f"{parsed['used']} is used, {parsed['limited']} is the limit"
        )
        found = found.model_copy(update={"what": what})
    older = len(view.leaving)
    if older and not view.needs_surge:
        because = f"{older} older pods still count; it goes on as they leave"
        return found.model_copy(update={"because": because, "severity": Severity.TRANSIENT})
    if parsed and not _fits(parsed["requested"], "", parsed["limited"]):
        return found.model_copy(update={"because": "it admits not even one pod"})
    if parsed and _fits_now(parsed, view.snapshot.quotas):
        because = "the quota has room again; the controller has not tried since"
        return found.model_copy(update={"because": because, "severity": Severity.TRANSIENT})
    lasted = objects.elapsed(found.since, view.now)
    never = "the strategy removes no old pod first, so none will ever fit" if older else "nothing of ours will free it"
    severity = Severity.FATAL if lasted is not None and lasted >= QUOTA_GRACE_SECONDS else Severity.TRANSIENT
    return found.model_copy(update={"because": never, "severity": severity, "grace": int(QUOTA_GRACE_SECONDS)})


def _fits_now(parsed: re.Match[str], quotas: list[Manifest] | None) -> bool:
    """Return whether the quota's own present numbers leave room for what was refused."""
    quota = next((found for found in quotas or [] if objects.name(found) == parsed["name"]), None)
    if quota is None:
        return False
    hard, used = (objects.status(quota).get(part) or {} for part in ("hard", "used"))
    return _fits(parsed["requested"], _pairs(used), _pairs(hard))


def _pairs(amounts: dict[str, str]) -> str:
    return ",".join(f"{resource}={amount}" for resource, amount in amounts.items())


def _fits(requested: str, used: str, limited: str) -> bool:
    """Return whether `cpu=1,pods=1` fits into a limit beside what is used, each written as in the refusal."""
    asked, taken, most = (_amounts(text) for text in (requested, used, limited))
    return all(
        taken.get(resource, 0) + amount <= most[resource] for resource, amount in asked.items() if resource in most
    )


def _amounts(text: str) -> dict[str, Decimal]:
    pairs = (part.partition("=") for part in text.split(",") if part)
    return {resource: quantity.amount(amount) for resource, _, amount in pairs}
