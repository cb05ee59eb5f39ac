"""Recognises why an image cannot be pulled, from kubelet's first specific message rather than its later "Back-off"."""

import re
from typing import Any, NamedTuple

from domain.diagnosis import Diagnosis, Severity
from domain.ports import Manifest
from planning import live

REASONS = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ImageInspectError", "RegistryUnavailable"}
TRIES = 2  # failed pulls before a definite answer of the registry counts
REGISTRY_GRACE = 600.0  # seconds that a registry may be away
_PULL_FAILED = re.compile(r"failed to pull (?:and unpack )?image", re.IGNORECASE)


class Rule(NamedTuple):
    """What kubelet's text looks like, and what it means."""

    pattern: re.Pattern[str]
    code: str
    what: str
    because: str
    do: str


_RULES = [
    Rule(
        re.compile(r"no match for platform|no matching manifest for|exec format error", re.IGNORECASE),
        "IMAGE_ARCH",
        "the image {image} is not made for this node's processor",
        "image and node differ in architecture",
        "build the base image (PROVER_BASE_IMAGE) for the nodes' architecture",
    ),
    Rule(
        re.compile(
            r"401 unauthorized|403 forbidden|pull access denied|authorization failed|insufficient_scope|"
            r"no basic auth credentials|authentication required|unauthorized:|failed to authorize|denied:",
            re.IGNORECASE,
        ),
        "IMAGE_AUTH",
        "the registry refuses to hand out the image {image}",
        "the Secret img-cred is missing, has other credentials, or is keyed by another host than pods pull from",
        "check IMAGE_AUTH_USER, IMAGE_AUTH_PASSWORD and IMAGE_HOST_ALIAS, then deploy again",
    ),
    Rule(
        re.compile(
            r"timeout|timed out|deadline exceeded|connection refused|connection reset|no route to host|no such host|"
            r"server misbehaving|temporary failure|x509|tls:|http response to https client|\beof\b|"
            r"429 too many|toomanyrequests|\b50[0-4] [a-z]|network is unreachable|registryunavailable",
            re.IGNORECASE,
        ),
        "IMAGE_REGISTRY_DOWN",
        "the node cannot fetch {image} from its registry",
        "the pull host does not answer this node as it should",
        "check that every node reaches IMAGE_HOST_ALIAS, with the right protocol and certificate; it is retried",
    ),
    Rule(
        re.compile(r"not found|manifest unknown|name unknown|does not exist|\b404\b|invalidimagename", re.IGNORECASE),
        "IMAGE_NOT_FOUND",
        "the image {image} is not in the registry that pods pull from",
        "the pull host (IMAGE_HOST_ALIAS) does not hold what was pushed to IMAGE_HOST",
        "check that both hosts are entries of one registry, then deploy again",
    ),
]
_OTHER = Rule(
    re.compile(""),
    "IMAGE_REGISTRY_DOWN",
    "the node cannot pull {image}",
    "kubelet gives no reason that is known here",
    "read the evidence; it is retried",
)


def judge(pod: Manifest, waiting: dict[str, Any], events: list[Manifest], *, now: float | None) -> Diagnosis:
    """The finding for a container that waits for its image; `events` are the pod's, oldest first."""
    failures = [
        event for event in events if event.get("reason") == "Failed" and _PULL_FAILED.search(live.message(event))
    ]
    specific = live.message(failures[-1]) if failures else ""
    evidence = specific or str(waiting.get("message") or waiting.get("reason") or "")
    rule = classify(f"{waiting.get('reason')} {evidence}")
    return Diagnosis(
        code=rule.code,
        what=rule.what.format(image=live.client_image(live.spec(pod))),
        evidence=evidence,
        because=rule.because,
        do=rule.do,
        severity=_severity(rule, waiting, failures, live.age(pod, now)),
    )


def slow(pod: Manifest, events: list[Manifest], *, now: float | None) -> Diagnosis | None:
    """A pull that goes on without an error, which is no failure however long it takes."""
    since = live.age(pod, now)
    pulling = any(event.get("reason") == "Pulling" for event in events)
    ended = any(event.get("reason") in ("Pulled", "Failed", "BackOff") for event in events)
    if not pulling or ended or since is None:
        return None
    image = live.client_image(live.spec(pod))
    return Diagnosis(
        code="IMAGE_SLOW",
        what=f"still pulling {image}, for {since:.0f} s",
        because="prover images hold the circuit's keys and are large",
        severity=Severity.PROGRESS,
    )


def classify(message: str) -> Rule:
    """The first rule that recognises kubelet's text."""
    return next((rule for rule in _RULES if rule.pattern.search(message)), _OTHER)


def _severity(rule: Rule, waiting: dict[str, Any], failures: list[Manifest], age: float | None) -> Severity:
    if rule.code == "IMAGE_REGISTRY_DOWN":
        return Severity.NEEDS_HUMAN if age is not None and age >= REGISTRY_GRACE else Severity.TRANSIENT
    if waiting.get("reason") == "InvalidImageName":
        return Severity.FATAL
    tries = sum(live.occurrences(event) for event in failures)
    # Without events a back-off of half a minute stands for the second try: the first pause is ten seconds.
    tried_unseen = not failures and waiting.get("reason") == "ImagePullBackOff" and age is not None and age >= 30  # noqa: PLR2004 - explained above
    return Severity.FATAL if tries >= TRIES or tried_unseen else Severity.TRANSIENT
