"""The causes of failed image pulls, from kubelet's first specific message rather than its later "Back-off"."""

import re
from typing import Any, NamedTuple

from domain import names
from domain.diagnosis import Diagnosis, Severity
from domain.kubernetes import Manifest
from planning.diagnosis.release_view import ReleaseView
from planning.kubernetes import objects
from planning.manifests import render
from planning.text import sizes

REASONS = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ImageInspectError", "RegistryUnavailable"}
DEFINITE_PULLS = 2  # failed pulls before a definite answer of the registry counts
REGISTRY_GRACE_SECONDS = 600.0  # seconds that a registry may be away
UNSEEN_GRACE_SECONDS = 30.0  # seconds of back-off that count as a second try when events cannot be read
_PULLED = re.compile(r"Successfully pulled image .*? in (?P<time>[0-9.hms]+)(?:.*Image size: (?P<size>\d+))?")
_PULL_FAILED = re.compile(r"failed to pull (?:and unpack )?image", re.IGNORECASE)


class PullFailure(NamedTuple):
    """A kind of failed pull: the pattern of kubelet's text, and its meaning."""

    pattern: re.Pattern[str]
    code: str
    what: str
    because: str
    do: str
    tries: int = DEFINITE_PULLS  # failed pulls before it counts


_RULES = [
    PullFailure(
        re.compile(r"invalidimagename|invalid reference format|failed to parse image reference", re.IGNORECASE),
        "IMAGE_NOT_FOUND",
        "{image} is no valid name of an image",
        "no registry was asked",
        "correct IMAGE_REPO, IMAGE_HOST_ALIAS or STAGE, then deploy again",
        tries=1,
    ),
    PullFailure(
        re.compile(r"no match for platform|no matching manifest for|exec format error", re.IGNORECASE),
        "IMAGE_ARCH",
        "the image {image} is not made for this node's processor",
        "image and node differ in architecture",
        "build the base image (PROVER_BASE_IMAGE) for the nodes' architecture",
    ),
    PullFailure(
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
    PullFailure(
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
    PullFailure(
        re.compile(r"not found|manifest unknown|name unknown|does not exist|\b404\b", re.IGNORECASE),
        "IMAGE_NOT_FOUND",
        "the image {image} is not in the registry that pods pull from",
        "the pull host (IMAGE_HOST_ALIAS) does not hold what was pushed to IMAGE_HOST",
        "check that both hosts are entries of one registry, then deploy again",
    ),
]
_OTHER = PullFailure(
    re.compile(""),
    "IMAGE_REGISTRY_DOWN",
    "the node cannot pull {image}",
    "kubelet gives no reason that is known here",
    "read the evidence; it is retried",
)


def pull_finding(pod: Manifest, waiting: dict[str, Any], events: list[Manifest], *, now: float | None) -> Diagnosis:
    """Return the finding for a container that waits for its image; `events` are the pod's, oldest first."""
    failures = [
        event for event in events if event.get("reason") == "Failed" and _PULL_FAILED.search(objects.message(event))
    ]
    specific = objects.message(failures[-1]) if failures else ""
    view = specific or str(waiting.get("message") or waiting.get("reason") or "")
    rule = classify(f"{waiting.get('reason')} {view}")
    # A registry that was away first and then refused has refused once.
    alike = [event for event in failures if classify(objects.message(event)).code == rule.code]
    since = objects.earliest(objects.first_seen(event) for event in alike) or objects.started(pod)
    return Diagnosis(
        code=rule.code,
        what=rule.what.format(image=objects.client_image(objects.spec(pod))),
        evidence=view,
        because=rule.because,
        do=rule.do,
        severity=_severity(rule, waiting, alike, since, now),
        since=since,
        grace=int(REGISTRY_GRACE_SECONDS) if rule.code == "IMAGE_REGISTRY_DOWN" else 0,
    )


def slow(pod: Manifest, events: list[Manifest], *, now: float | None) -> Diagnosis | None:
    """Return the finding for a pull that goes on without an error, which is no failure however long it takes."""
    pulling = [event for event in events if event.get("reason") == "Pulling"]
    ended = any(event.get("reason") in ("Pulled", "Failed", "BackOff") for event in events)
    since = objects.first_seen(pulling[-1]) or objects.started(pod) if pulling else ""
    lasted = objects.elapsed(since, now)
    if not pulling or ended or lasted is None:
        return None
    image = objects.client_image(objects.spec(pod))
    return Diagnosis(
        code="IMAGE_SLOW",
        what=f"still pulling {image}, for {lasted:.0f} s",
        evidence=objects.message(pulling[-1]),
        because="prover images hold the circuit's keys and are large",
        do="wait; nothing has failed",
        severity=Severity.PROGRESS,
        since=since,
    )


def explain_slow(found: Diagnosis, pods: list[Manifest], view: ReleaseView) -> Diagnosis:
    """Add how many nodes have the image, how large it is and how long its pulls took."""
    done = [pod for pod in view.pods if has_image(pod)]
    pulls = [pull for pod in done if (pull := pull_time(view.of(pod)))]
    what = f"{found.what}: {len(done)} of {len(done) + len(pods)} nodes have it"
    if not pulls:
        return found.model_copy(update={"what": what})
    longest, size = max(seconds for seconds, _ in pulls), max(size for _, size in pulls)
    told = f", it took up to {longest:.0f} s there" + (f" for {sizes.size(size)}" if size else "")
    return found.model_copy(update={"what": what + told})


def explain_access(found: Diagnosis, image: str, pod: Manifest, pull_hosts: list[str] | None) -> Diagnosis:
    """Add the hosts that the Secret has credentials for, beside the image's."""
    host = image.partition("/")[0]
    if pull_hosts is None:
        return found
    named = any(one.get("name") == names.PULL_SECRET for one in objects.spec(pod).get("imagePullSecrets") or [])
    if not pull_hosts:
        because = f"there is no Secret {names.PULL_SECRET} with credentials for {host}"
    elif not named:
        because = f"the pods do not use the Secret {names.PULL_SECRET}, which has {', '.join(pull_hosts)}"
    elif not any(_same_host(one, host) for one in pull_hosts):
        because = (
            f"the Secret {names.PULL_SECRET} has credentials for {', '.join(pull_hosts)}, the image comes from {host}"
        )
    else:
        because = (
            f"the Secret {names.PULL_SECRET} is there and has credentials for {host}: the registry does not accept "
            "them, or they may not read this repository"
        )
    return found.model_copy(update={"because": because})


def has_image(pod: Manifest) -> bool:
    """Return whether the client's image has arrived at the pod's node."""
    return any(container.get("imageID") for container in objects.container_statuses(pod))


def classify(message: str) -> PullFailure:
    """Return the first kind of failure that matches kubelet's text."""
    return next((rule for rule in _RULES if rule.pattern.search(message)), _OTHER)


def explained(message: str) -> bool:
    """Return whether kubelet's text has a cause that is known here."""
    return classify(message) is not _OTHER


def pull_time(events: list[Manifest]) -> tuple[float, int] | None:
    """Return the seconds of the pull and the bytes of the image (0: unknown); None where kubelet pulled nothing."""
    pulls = [pull for event in events if (pull := _PULLED.search(objects.message(event)))]
    return (_duration(pulls[-1]["time"]), int(pulls[-1]["size"] or 0)) if pulls else None


def _same_host(key: str, host: str) -> bool:
    """Compare hosts; keys of a Docker configuration may have a scheme and a path, and Docker Hub's is special."""
    bare = key.partition("://")[2] or key
    return bare.partition("/")[0] == host or render.registry_key(host) == key


def _duration(text: str) -> float:
    """Return the seconds of Go's `1m2.5s`."""
    parts = re.findall(r"([0-9.]+)(ms|h|m|s)", text)
    return sum(float(number) * {"h": 3600, "m": 60, "s": 1, "ms": 0.001}[unit] for number, unit in parts)


def _severity(
    rule: PullFailure, waiting: dict[str, Any], alike: list[Manifest], since: str, now: float | None
) -> Severity:
    lasted = objects.elapsed(since, now)
    if rule.code == "IMAGE_REGISTRY_DOWN":
        return Severity.NEEDS_HUMAN if lasted is not None and lasted >= REGISTRY_GRACE_SECONDS else Severity.TRANSIENT
    if rule.tries == 1:
        return Severity.FATAL
    tries = sum(objects.occurrences(event) for event in alike)
    # Without events a back-off of half a minute stands for the second try: the first pause is ten seconds.
    unseen = (
        not alike
        and waiting.get("reason") == "ImagePullBackOff"
        and lasted is not None
        and lasted >= UNSEEN_GRACE_SECONDS
    )
    return Severity.FATAL if tries >= rule.tries or unseen else Severity.TRANSIENT
