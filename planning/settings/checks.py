"""The grammar of each kind of value, by the standard library alone: the CLI's help must load without pydantic.

Every check takes the text and returns "" when it is fine, else the end of a sentence: what it is not, and the remedy.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from urllib.parse import SplitResult, urlsplit

from planning.text import quantity

Check = Callable[[str], str]

MAX_REPLICAS = 5000  # domain.commands.MAX_REPLICAS; a unit test holds them equal
MAX_LABEL = 63  # Kubernetes: label values, names of namespaces
MAX_SUBDOMAIN = 253  # Kubernetes: names of Secrets, prefixes of keys
MAX_REPOSITORY = 255  # distribution: host and path together
MAX_CIRCUIT = 30  # the coordinator's column task.circuit is varchar(30)
MAX_SECONDS = 30 * 24 * 3600
MIN_MEMORY, MAX_MEMORY = 1 << 20, 10**18  # bytes
MIN_CORES, MAX_CORES = Decimal("0.001"), 100_000
PERCENT = 100
GIT_SCHEMES = ("https", "ssh")
TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off"})

_DNS_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_SUBDOMAIN = re.compile(rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*")
_LABEL_VALUE = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?")
_HOST_LABEL = r"[A-Za-z0-9](?:[-A-Za-z0-9]*[A-Za-z0-9])?"
_GIT_REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}", re.ASCII)
_SCP = re.compile(r"([A-Za-z0-9._-]+@[A-Za-z0-9.-]+):([^:]+)", re.ASCII)  # user@host:path
_HOST = re.compile(rf"(?:{_HOST_LABEL}(?:\.{_HOST_LABEL})*|\[[0-9a-fA-F:]+\])(?::([0-9]{{1,5}}))?")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_IMAGE = re.compile(
    rf"(?:[^/]*[.:][^/]*/|localhost/)?{_COMPONENT}(?:/{_COMPONENT})*"
    r"(?::[\w][\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?",
    re.ASCII,
)
_DURATION = re.compile(r"([0-9]{1,9})(s|m|h|d)?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SECONDS = {None: 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def printable(text: str) -> str:
    """Control characters would forge lines in terminals and logs."""
    return "holds a control character: remove it" if _CONTROL.search(text) else ""


def text(_value: str) -> str:
    """Anything printable."""
    return ""


def namespace(value: str) -> str:
    """Check a DNS-1123 label, as Kubernetes names namespaces."""
    if re.fullmatch(_DNS_LABEL, value):
        return ""
    return f"is not a namespace: give lower case letters, digits and '-', at most {MAX_LABEL}, no '-' at either end"


def plain_name(value: str) -> str:
    """Check a name that becomes part of a task queue and a workflow id."""
    if len(value) <= MAX_LABEL and _LABEL_VALUE.fullmatch(value):
        return ""
    return f"is not a name: give letters, digits, '-', '_' and '.', at most {MAX_LABEL}, and no '/'"


def label_value(value: str) -> str:
    """Check the value of a Kubernetes label."""
    if len(value) <= MAX_LABEL and _LABEL_VALUE.fullmatch(value):
        return ""
    return f"is not a label value: give letters, digits, '-', '_' and '.', at most {MAX_LABEL}, none of -_. at an end"


def stage(value: str) -> str:
    """Both the tail of an image tag and the value of a label; a label's grammar is the narrower one."""
    if not label_value(value):
        return ""
    return (
        f"is neither an image tag nor a label value: give letters, digits, '-', '_' and '.', at most {MAX_LABEL}, "
        "with a letter or digit at both ends"
    )


def circuit(value: str) -> str:
    """Check the name of a circuit as the coordinator's table holds it."""
    if len(value) <= MAX_CIRCUIT and _LABEL_VALUE.fullmatch(value):
        return ""
    return f"is not a circuit name: give letters, digits, '-', '_' and '.', at most {MAX_CIRCUIT}"


def port(value: str) -> str:
    """Check a decimal number; planning.endpoint judges its range."""
    return "" if _integer(value) is not None else "is not a TCP port: give a number from 1 to 65535"


def replicas(value: str) -> str:
    """Check the number of prove-clients."""
    number = _integer(value)
    if number is not None and 0 <= number <= MAX_REPLICAS:
        return ""
    return f"is not a number of clients: give a whole number from 0 to {MAX_REPLICAS}"


def duration(value: str) -> str:
    """Seconds, or a number with s, m, h or d."""
    if _DURATION.fullmatch(value) and seconds(value) <= MAX_SECONDS:
        return ""
    return "is not a duration: give seconds, or a number with s, m, h or d, such as 90s or 10m, at most 30d"


def seconds(value: str) -> int:
    """Return the seconds of a duration that passed its check."""
    match = _DURATION.fullmatch(value)
    if match is None:
        raise ValueError(value)
    return int(match[1]) * _SECONDS[match[2]]


def max_unavailable(value: str) -> str:
    """At least one, for one client a node leaves no room for a surge (trap 2)."""
    number = _integer(value.removesuffix("%"))
    limit = PERCENT if value.endswith("%") else MAX_REPLICAS
    if number is not None and 1 <= number <= limit:
        return ""
    return "is not a number of clients: give a whole number from 1, or a share from 1% to 100%"


def share(value: str) -> str:
    """Check a share of the replicas."""
    if re.fullmatch(r"0(\.[0-9]+)?|1(\.0+)?|\.[0-9]+", value, re.ASCII):
        return ""
    return "is not a share: give a number from 0 to 1, such as 0.5"


def boolean(value: str) -> str:
    """Yes or no."""
    return "" if value.lower() in TRUE | FALSE else "is neither true nor false: give one of them"


def one_of(*words: str) -> Check:
    """Return a check for one of a closed set of words."""

    def check(value: str) -> str:
        return "" if value in words else f"is not known: give one of {', '.join(words)}"

    return check


def looks_like_host(part: str) -> bool:
    """Docker's rule for the first part of a reference."""
    return "." in part or ":" in part or part == "localhost"


def registry_host(value: str) -> str:
    """Host and optional port, recognisable as a host by Docker's own rule."""
    if "://" in value:
        return f"is a URL: give the host alone, {value.split('://', 1)[1].split('/', maxsplit=1)[0]!r}"
    match = _HOST.fullmatch(value)
    if match is None or (match[1] and not 1 <= int(match[1]) <= 65535):  # noqa: PLR2004 - TCP's largest port
        return "is not a registry host: give a host name or IP with an optional port, such as registry.example.com:5000"
    if not looks_like_host(value):
        return f"would be read as a path on Docker Hub: give the port too, such as {value}:443"
    return ""


def split_repository(value: str) -> tuple[str, str]:
    """Host and path of a repository; the host is empty when the first part does not look like one."""
    first, slash, rest = value.partition("/")
    return (first, rest) if slash and looks_like_host(first) else ("", value)


def repository(value: str) -> str:
    """Check a repository with an optional host in front, without tag and digest."""
    host, path = split_repository(value)
    if "://" in value:
        return "is a URL: give host and path alone, such as fluidex.com/prover-cluster"
    if "@" in path or ":" in path:
        return "holds a tag or digest: give the repository alone, the tag is made from STAGE"
    if host and registry_host(host):
        return f"begins with {host!r}, which is not a registry host: give it as host:port/path"
    if _REPOSITORY.fullmatch(path) and len(value) <= MAX_REPOSITORY:
        return ""
    return "is not a repository: give parts of lower case letters and digits, with single '.', '_' or '-' between them"


def image(value: str) -> str:
    """Any image reference."""
    host, _ = split_repository(value)
    if _IMAGE.fullmatch(value) and len(value) <= 2 * MAX_REPOSITORY and not (host and registry_host(host)):
        return ""
    return "is not an image reference: give [host/]path[:tag][@sha256:digest] in lower case"


def secret_reference(value: str) -> str:
    """Where a worker finds a credential; never the credential itself."""
    kind, _, rest = value.partition(":")
    fine = {
        "env": re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", rest, re.ASCII),
        "file": rest.startswith("/"),
        "docker-config": not rest,
        "kubernetes": len(rest) <= MAX_SUBDOMAIN and _SUBDOMAIN.fullmatch(rest),
    }
    if fine.get(kind):
        return ""
    return "is not a reference to a credential: give env:NAME, file:/PATH, docker-config or kubernetes:SECRET"


def key_value(value: str) -> str:
    """`key=value` of a node label."""
    key, equals, rest = value.partition("=")
    prefix, slash, name = key.rpartition("/")
    prefix_fine = not slash or (len(prefix) <= MAX_SUBDOMAIN and _SUBDOMAIN.fullmatch(prefix))
    if equals and prefix_fine and not label_value(name) and (not rest or not label_value(rest)):
        return ""
    return "is not key=value in Kubernetes' syntax: give something like fluidexnode=computation"


def taint(value: str) -> str:
    """`key=value` of a taint; every effect is tolerated."""
    if ":" in value:
        return "names an effect: leave out the part from ':', all effects are tolerated"
    return key_value(value)


def relative_path(value: str) -> str:
    """Check a directory inside the backend repository."""
    if value.startswith("/") or ".." in value.split("/"):
        return "leaves the repository: give a path relative to BACKEND_REPO, without '..'"
    return ""


def is_url(value: str) -> bool:
    """Whether a repository is given by URL and not as a directory."""
    return "://" in value


def git_repository(value: str) -> str:
    """Check a directory on the backend host, or an https or ssh URL without credentials."""
    if not is_url(value):
        return _git_directory(value)
    scheme, _, rest = value.partition("://")
    if scheme not in GIT_SCHEMES:
        return f"has the scheme {scheme!r}: give a directory, or a URL with one of {', '.join(GIT_SCHEMES)}"
    place, _, path = rest.partition("/")
    user, at, host = place.rpartition("@")
    if at and (":" in user or scheme != "ssh"):
        return "holds credentials: leave them to git's credential helper on the worker's host"
    if not _HOST.fullmatch(host) or user.startswith("-") or not path.strip("/") or set(value) & set("?# "):
        return "is not the URL of a repository: give something like https://git.example.com/team/backend.git"
    return ""


def _git_directory(value: str) -> str:
    if "::" in value:
        return "names a transport that git would run: give a directory or an https URL"
    short = _SCP.fullmatch(value)
    if short:
        return f"is ssh's short form: give it as ssh://{short[1]}/{short[2].lstrip('/')}"
    return ""


def git_ref(value: str) -> str:
    """Check a commit, tag or branch that git cannot take for an option or an expression."""
    if _GIT_REF.fullmatch(value) and ".." not in value and not value.endswith((".lock", "/", ".")):
        return ""
    return "is no commit, tag or branch: give letters, digits and ._/- with no '..', and none of ._/- in front"


def cpu(value: str) -> str:
    """Check a Kubernetes quantity of cores."""
    cores = _amount(value)
    if cores is not None and MIN_CORES <= cores <= MAX_CORES:
        return ""
    return "is not a number of cores: give a Kubernetes quantity such as 64 or 500m"


def memory(value: str) -> str:
    """Check a Kubernetes quantity of bytes; `512m` is legal there and means half a byte."""
    amount = _amount(value)
    if amount is not None and MIN_MEMORY <= amount < MAX_MEMORY:
        return ""
    return "is not an amount of memory: give a Kubernetes quantity such as 256Gi (a small 'm' means thousandths)"


def extended_resources(value: str) -> str:
    """`name=quantity` pairs; plain resources have settings of their own, and extended ones are whole numbers."""
    for part in value.split(","):
        name, equals, number = part.strip().partition("=")
        domain, slash, rest = name.partition("/")
        named = slash and _SUBDOMAIN.fullmatch(domain) and not label_value(rest) and "kubernetes.io" not in domain
        if not (equals and named and (_integer(number) or 0) > 0):
            return (
                f"holds {part.strip()!r}, which is no extended resource: give name=number with a domain, such as "
                "nvidia.com/gpu=1 (cores and memory are CLIENT_CPU and CLIENT_MEMORY)"
            )
    return ""


def resources(value: str) -> dict[str, str]:
    """Return the pairs of a value that passed its check."""
    pairs = (part.strip().partition("=") for part in value.split(",") if part.strip())
    return {name: number for name, _, number in pairs}


def upstream(value: str) -> str:
    """Check a URL that clients can be given; credentials would end up in the pod's environment."""
    try:
        url = urlsplit(value)
        url_port = url.port
    except ValueError:
        return "is not a URL: give something like http://10.0.0.7:50055"
    if url.username is not None or url.password is not None:
        return "holds credentials, which every reader of the pods would see: leave them out"
    if _plain_url(url) and url_port != 0:
        return ""
    return (
        "is not a URL of a host: give http:// or https://, a host and an optional port, such as http://10.0.0.7:50055"
    )


def _plain_url(url: SplitResult) -> bool:
    host = _HOST.fullmatch(url.netloc)
    return url.scheme in {"http", "https"} and host is not None and not url.query and not url.fragment


def _integer(value: str) -> int | None:
    """Return a decimal integer; Python's int() would also take underscores, spaces and other scripts' digits."""
    return int(value) if re.fullmatch(r"-?[0-9]{1,18}", value, re.ASCII) else None


def _amount(value: str) -> Decimal | None:
    try:
        return quantity.amount(value)
    except ValueError:
        return None
