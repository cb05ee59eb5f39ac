"""The checks of a preflight as texts and numbers that end with a remedy. Pure."""

from urllib.parse import urlsplit

from domain.diagnosis import Diagnosis
from domain.errors import Forbidden, ProverError
from domain.kubernetes import Manifest, Right
from domain.messages.inspection import Check, CheckVerdict
from domain.messages.nodes import NodesReport
from domain.messages.release import Target
from domain.messages.source import Source
from domain.ports import TOKEN_USER, Login
from domain.spec import ClusterSpec, Shortage
from planning.kubernetes import admission, objects, rbac
from planning.manifests.circuit_name import known_circuit, mismatches
from planning.manifests.render import require_password
from planning.text import sanitize
from planning.text.listing import listed

CONNECTED = "ok"
SHOWN_NODES = 5  # nodes in one sentence
_WEB_PORTS = {"http": 80, "https": 443}
_ENDINGS = {  # of a connection: what is said of it, and what to do
    "refused": ("nothing listens there", "start the coordinator, or correct COORDINATOR_EP and COORDINATOR_PORT"),
    "loopback": (
        "its coordinator listens on loopback only",
        "set the coordinator's listen address to [::] (every address, IPv4 included) and restart it",
    ),
    "timeout": (
        "no answer came: a firewall drops the packets, or no such host exists",
        "open the port in the firewall, or correct COORDINATOR_EP",
    ),
    "no-route": ("no route leads there", "correct COORDINATOR_EP, or the routes between the networks"),
    "unknown-host": ("its name cannot be resolved", "correct COORDINATOR_SERV"),
}


def ok(name: str, detail: str = "") -> Check:
    """Return a passed check."""
    return Check(name=name, verdict=CheckVerdict.OK, detail=sanitize.one_line(detail))


def warning(name: str, detail: str, do: str = "") -> Check:
    """Return a check that does not stop a deploy and needs attention."""
    return Check(name=name, verdict=CheckVerdict.WARNING, detail=sanitize.one_line(detail), do=do)


def unknown(name: str, detail: str, do: str = "") -> Check:
    """Return a check that could not be made."""
    return Check(name=name, verdict=CheckVerdict.UNKNOWN, detail=sanitize.one_line(detail), do=do)


def failed(name: str, detail: str, do: str = "") -> Check:
    """Return a check that would stop a deploy."""
    return Check(name=name, verdict=CheckVerdict.FAILED, detail=sanitize.one_line(detail), do=do)


def from_error(name: str, error: ProverError) -> Check:
    """Return the check of an error that a deploy would fail with; missing rights make it unknown."""
    verdict = CheckVerdict.UNKNOWN if isinstance(error, Forbidden) else CheckVerdict.FAILED
    return from_diagnoses(name, verdict, error.diagnosis)


def from_diagnoses(name: str, verdict: CheckVerdict, *found: Diagnosis) -> Check:
    """Return a check with the text of one or more diagnoses and the remedy of the first.

    Each part is cleaned by itself: `CREDENTIALS: …` as a whole would look like a secret.
    """
    clean = [
        one.model_copy(
            update={part: sanitize.one_line(getattr(one, part)) for part in ("what", "because", "evidence")}
            | {"do": ""}
        )
        for one in found
    ]
    return Check(name=name, verdict=verdict, detail=" ".join(str(one) for one in clean), do=found[0].do)


def login(name: str, found: Login | None, host: str) -> Check:
    """Return the check of a credential that this worker could resolve, or of none where none is set."""
    who = f"user {found.user}" if found and found.user != TOKEN_USER else "an identity token"
    return ok(name, f"{who} for {host}" if found else f"none: {host} is used anonymously")


def pull_login(name: str, found: Login | None, host: str) -> Check:
    """Return the check of the pods' credential; CredentialsMissing when they cannot use it."""
    if found:
        require_password(found.user, host)
    return login(name, found, host)


def source(found: Source, repo: str) -> Check:
    """Return the check of the commit that would be deployed."""
    commit = f"commit {found.commit[:12]}" if found.commit else "no commit"
    said = f"{commit} of {repo or '(no repository)'}, stage {found.stage}"
    if found.dirty:
        return warning("source", f"{said}, with uncommitted changes", "commit them, so that the stage names what it is")
    return ok("source", said)


def circuit_name(spec: ClusterSpec, found: Source, *, given: str) -> Check:
    """Compare the circuit of the clients with those of the backend's programs; `given` is the setting's value."""
    name, differing = "circuit name", mismatches(spec.circuit_name, found)
    if differing:
        said = f"clients would prove {spec.circuit_name}, but {'; '.join(differing)}"
        known = known_circuit(spec.circuit_name, found)
        return warning(name, said, f"set CIRCUIT={known}, or bring up the backend that has {spec.circuit_name}")
    if found.circuits:
        return ok(name, f"{spec.circuit_name}, as {' and '.join(found.circuits)} have it")
    origin = "as CIRCUIT has it" if given else "as the backend profile has it" if found.circuit else "the default"
    return ok(name, f"{spec.circuit_name}, {origin}")


def required_rights(lacking: list[Right], on_nodes: list[Right], reviewed: int, namespace: str) -> Check:
    """Return the check of the rights that a deploy needs."""
    name, missing = "rights", [*lacking, *on_nodes]
    if not missing:
        return ok(name, f"all {reviewed} rights are granted")
    rules = rbac.snippets(lacking, in_cluster=False) + rbac.snippets(on_nodes, in_cluster=True)
    return failed(name, f"{len(missing)} of {reviewed} are not granted: {_titles(missing)}", _grant(namespace, rules))


def optional_rights(lacking: list[Right], in_cluster: list[Right], reviewed: int, namespace: str) -> Check:
    """Return the check of the rights whose lack only makes an answer "unknown"."""
    name, missing = "optional rights", [*lacking, *in_cluster]
    if not missing:
        return ok(name, f"all {reviewed} rights are granted")
    rules = rbac.snippets(lacking, in_cluster=False) + rbac.snippets(in_cluster, in_cluster=True)
    said = f"{len(missing)} of {reviewed} are not granted, so some answers stay unknown: {_titles(missing)}"
    return warning(name, said, _grant(namespace, rules))


def _titles(rights: list[Right]) -> str:
    return ", ".join(f"{right} {right.name}".strip() for right in rights)


def _grant(namespace: str, rules: list[str]) -> str:
    rest = "; ".join(rules)
    return f"let an administrator apply the output of: proverctl rbac -n {namespace}" + (f" ({rest})" if rest else "")


def namespace(spec: ClusterSpec, *, exists: bool) -> Check:
    """Return the check of a namespace that exists, or that the deploy creates."""
    said = "exists" if exists else "does not exist yet; a deploy creates it, for the worker may"
    return ok("namespace", f"{spec.namespace} {said}")


def ownership(target: Target) -> Check:
    """Return the check of a namespace that is not another's."""
    name = "ownership"
    if target.warnings:
        return warning(name, " ".join(target.warnings))
    return ok(name, f"ours, stage {target.stage or 'unknown'}" if target.deployed else "free: nothing of our names")


def nodes(report: NodesReport, spec: ClusterSpec) -> Check:
    """Return whether the wanted clients can run; a shortage is a warning where the deploy would not be refused."""
    name = "nodes"
    if report.diagnosis:
        refused = spec.shortage is Shortage.REFUSE
        return from_diagnoses(name, CheckVerdict.FAILED if refused else CheckVerdict.WARNING, report.diagnosis)
    counts = f"{report.usable} of {report.total} nodes are usable, {report.possible} clients can run"
    said = f"{counts}, {report.wanted} are wanted"
    odd = listed([f"{node.name}: {'; '.join(node.warnings)}" for node in report.nodes if node.warnings], SHOWN_NODES)
    unread = listed([f"{node.name}: {'; '.join(node.unknown)}" for node in report.nodes if node.unknown], SHOWN_NODES)
    if report.warnings or odd:
        return warning(name, " ".join([f"{said}.", *report.warnings, odd]))
    return unknown(name, f"{said}. {unread}") if unread else ok(name, said)


def quota(quotas: list[Manifest]) -> Check:
    """Return the check of what the quotas leave; the check of the nodes tells whether it is enough."""
    if not quotas:
        return ok("quota", "the namespace has no ResourceQuota")
    return ok("quota", "; ".join(f"{objects.name(found)}: {_used(found)}" for found in quotas))


def _used(found: Manifest) -> str:
    status = objects.status(found)
    hard = status.get("hard") or objects.spec(found).get("hard") or {}
    used = status.get("used") or {}
    return ", ".join(f"{resource} {used.get(resource, '?')} of {limit}" for resource, limit in hard.items())


def dry_run(refused: list[ProverError], tried: int) -> Check:
    """Return the check of the API server's answers to the dry-run of each object."""
    name = "objects"
    if not refused:
        return ok(name, f"the API server would take all {tried}")
    return from_diagnoses(name, CheckVerdict.FAILED, *(error.diagnosis for error in refused))


def pod(error: ProverError | None, warnings: list[str], *, user_known: bool) -> Check:
    """Return whether Pod Security, limit ranges and admission admit a client, which a Deployment does not show."""
    name = "pod admission"
    if error and admission.by_quota(error.diagnosis.evidence):
        return ok(name, "admitted but for a quota that is used up now; whether it suffices is the check of the nodes")
    if error and admission.for_dry_run(error.diagnosis.evidence):
        return unknown(name, f"an admission webhook cannot take part in a dry-run. {error.diagnosis.evidence}")
    if error:
        return from_error(name, error)
    if warnings:
        return warning(name, " ".join(warnings))
    if not user_known:
        return unknown(name, "a client whose image does not run as root is admitted; this image's user is not known")
    return ok(name, "Pod Security, limit ranges and webhooks admit a client")


def coordinator_of(spec: ClusterSpec) -> tuple[str, int]:
    """Return host and port that clients will talk to in the end."""
    if not spec.coordinator_serv:
        return spec.coordinator.ip, spec.coordinator.port
    url = urlsplit(spec.coordinator_serv)
    return url.hostname or "", url.port or _WEB_PORTS.get(url.scheme, 0)


def coordinator(host: str, port: int, ending: str) -> Check:
    """Return the check of a connection from the worker; nodes may reach what only the worker cannot."""
    name, target = "coordinator", f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if ending == CONNECTED:
        return ok(name, f"the worker reaches {target}")
    because, remedy = _ENDINGS.get(ending, (ending, "see that the coordinator runs at that address"))
    detail = f"the worker cannot connect to {target}: {because}"
    if ending in ("refused", "loopback"):
        return failed(name, detail, remedy)
    return warning(name, f"{detail}; --probe tells whether nodes can", remedy)


def outvoted(found: Check, probe: Check) -> Check:
    """Return the coordinator's check in the light of the probe's: nodes have to reach it."""
    if probe.verdict is not CheckVerdict.OK or found.verdict is CheckVerdict.OK:
        return found
    return found.model_copy(update={"verdict": CheckVerdict.WARNING, "detail": f"{found.detail} (a node can)"})
