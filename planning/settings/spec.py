"""Turns settings, already merged by precedence, into a ClusterSpec, and reports everything that is wrong at once."""

import re
from collections.abc import Iterable, Mapping

from domain.commands import ResetEndpoint
from domain.errors import SettingsInvalid
from domain.profile import NAME
from domain.spec import (
    Backend,
    BackendMode,
    ClusterSpec,
    ConfigSchema,
    Endpoint,
    ImageTarget,
    KeyValue,
    OnFailure,
    SecretRef,
    Shortage,
)
from planning.settings import checks, endpoint
from planning.settings.setting import Setting
from planning.settings.table import BACKEND, BY_NAME, SETTINGS

DOCKER_HUB = "docker.io"
SHOWN = 80  # characters of a value in a message
AUTH_PAIR = "env:IMAGE_AUTH"

SHORTAGE = ("PROVER_WAIT_FOR_NODES", "PROVER_AS_MANY_AS_FIT", "PROVER_EXPECT_AUTOSCALER")
IMAGES = ("IMAGE_REPO", "IMAGE_HOST", "IMAGE_HOST_ALIAS", "IMAGE_PUSH_AUTH", "IMAGE_PULL_AUTH")
BARE = (
    "CLUSTER",
    "CLUSTER_NS",
    "CLIENT_REPLICAS",
    "NODE_LABEL",
    "NODE_TAINT",
    "CLIENT_CPU",
    "CLIENT_MEMORY",
    "CLIENT_RESOURCES",
    "NODE_MIN_CPU",
    "NODE_MIN_MEMORY",
    "BACKEND_REPO",
    "BACKEND_REF",
    "BACKEND_PROFILE",
    "BACKEND_HOST",
    "CIRCUIT_DIR",
    "PROVER_BASE_IMAGE",
)

Values = Mapping[str, str]


def cluster_spec(values: Values, *, mode: BackendMode = BackendMode.NONE, seen_on: str = "") -> ClusterSpec:
    """Return the spec of these settings; `seen_on` names the machine that holds IMAGE_AUTH_*; SettingsInvalid."""
    wrong = problems(values)
    if wrong:
        raise SettingsInvalid(wrong)
    get = _SettingsReader(values)
    return ClusterSpec(
        cluster=get("CLUSTER"),
        namespace=get("CLUSTER_NS"),
        coordinator=Endpoint(ip=endpoint.canonical(get("COORDINATOR_EP")), port=int(get("COORDINATOR_PORT"))),
        coordinator_serv=get("COORDINATOR_SERV"),
        image=_image_target(get, seen_on),
        stage=get("STAGE"),
        replicas=int(get("CLIENT_REPLICAS")),
        deploy_name=get("CLUSTER_DEPLOYNAME"),
        circuit=get("CIRCUIT"),
        config_schema=ConfigSchema(get("CLIENT_CONFIG_SCHEMA")),
        node_label=_key_value(get("NODE_LABEL")),
        node_taint=_key_value(get("NODE_TAINT")),
        client_cpu=get("CLIENT_CPU"),
        client_memory=get("CLIENT_MEMORY"),
        client_resources=checks.resources(get("CLIENT_RESOURCES")),
        node_min_cpu=get("NODE_MIN_CPU"),
        node_min_memory=get("NODE_MIN_MEMORY"),
        client_grace=checks.seconds(get("CLIENT_GRACE")),
        max_unavailable=get("PROVER_MAX_UNAVAILABLE"),
        min_ready=float(get("PROVER_MIN_READY")),
        backend=_backend(get),
        backend_mode=mode,
        allow_dirty=get("PROVER_ALLOW_DIRTY").lower() in checks.TRUE,
        force_tag=get("PROVER_FORCE_TAG").lower() in checks.TRUE,
        pre_pull=get("PROVER_PRE_PULL") == "on",
        on_failure=OnFailure(get("PROVER_ON_FAILURE")),
        retry_for=checks.seconds(get("PROVER_RETRY_FOR")),
        shortage=_shortage(get),
        wait_for_nodes=checks.seconds(get("PROVER_WAIT_FOR_NODES") or "0"),
        answer_within=checks.seconds(get("PROVER_ANSWER_WITHIN")),
    )


def shortage(values: Values) -> tuple[Shortage, int]:
    """Return the policy for too few nodes, and the seconds to wait for them; SettingsInvalid."""
    get = _SettingsReader(values)
    wrong = problems(values, SHORTAGE) + _contradiction(get)
    if wrong:
        raise SettingsInvalid(wrong)
    return _shortage(get), checks.seconds(get("PROVER_WAIT_FOR_NODES") or "0")


def problems(values: Values, names: Iterable[str] | None = None) -> list[str]:
    """Every problem of these settings (None: of all, with those that must be set), one sentence each."""
    chosen = SETTINGS if names is None else [BY_NAME[name] for name in names]
    get = _SettingsReader(values)
    found = [problem for setting in chosen if (problem := _problem(setting, get(setting.name)))]
    if names is None:
        found += _missing(get) + _endpoint_problems(get, found) + _half_pair(get) + _contradiction(get)
    return found


def place(values: Values) -> tuple[str, str]:
    """Cluster and namespace: all that a command on a running deployment needs; SettingsInvalid."""
    wrong = problems(values, ["CLUSTER", "CLUSTER_NS"])
    if wrong:
        raise SettingsInvalid(wrong)
    get = _SettingsReader(values)
    return get("CLUSTER"), get("CLUSTER_NS")


def bare_spec(values: Values) -> ClusterSpec:
    """Return a spec for looking at a cluster or tearing down: neither coordinator nor image; SettingsInvalid."""
    wrong = problems(values, BARE)
    if wrong:
        raise SettingsInvalid(wrong)
    get = _SettingsReader(values)
    return ClusterSpec(
        cluster=get("CLUSTER"),
        namespace=get("CLUSTER_NS"),
        coordinator=Endpoint(ip=""),
        image=ImageTarget(repository=""),
        replicas=int(get("CLIENT_REPLICAS")),
        node_label=_key_value(get("NODE_LABEL")),
        node_taint=_key_value(get("NODE_TAINT")),
        client_cpu=get("CLIENT_CPU"),
        client_memory=get("CLIENT_MEMORY"),
        client_resources=checks.resources(get("CLIENT_RESOURCES")),
        node_min_cpu=get("NODE_MIN_CPU"),
        node_min_memory=get("NODE_MIN_MEMORY"),
        backend=_backend(get),
    )


def backend_spec(values: Values) -> ClusterSpec:
    """Return a spec for a backend alone: no image, a coordinator only where the profile has one; SettingsInvalid."""
    get = _SettingsReader(values)
    wrong = problems(values, BACKEND)
    if get("COORDINATOR_EP"):
        wrong += _endpoint_problems(get, wrong)
    if wrong:
        raise SettingsInvalid(wrong)
    return ClusterSpec(
        cluster=get("CLUSTER"),
        namespace=get("CLUSTER_NS"),
        coordinator=Endpoint(ip=_address(get), port=int(get("COORDINATOR_PORT"))),
        coordinator_serv=get("COORDINATOR_SERV"),
        image=ImageTarget(repository=""),
        circuit=get("CIRCUIT"),
        backend=_backend(get),
        retry_for=checks.seconds(get("PROVER_RETRY_FOR")),
    )


def images_spec(values: Values, *, seen_on: str = "") -> ClusterSpec:
    """Return a spec for the kept images: repository, hosts and backend host, no coordinator; SettingsInvalid."""
    get = _SettingsReader(values)
    wrong = problems(values, IMAGES) + _missing(get) + _half_pair(get)
    if wrong:
        raise SettingsInvalid(wrong)
    return bare_spec(values).model_copy(update={"image": _image_target(get, seen_on)})


def profile_name(name: str) -> str:
    """Return the name of a backend's profile, given in place of the profile itself; SettingsInvalid."""
    if not re.fullmatch(NAME, name):
        raise SettingsInvalid(
            [f"--name={_shown(name)} is no name of a profile: lower-case letters, digits and dashes."]
        )
    return name


def count(value: str, name: str) -> int:
    """Return the number that the user gives by a flag; SettingsInvalid."""
    if not re.fullmatch(r"[0-9]{1,6}", value):
        raise SettingsInvalid([f"{name}={_shown(value)} must be a whole number from 0 to 999999."])
    return int(value)


def account(values: Values, name: str, namespace: str | None) -> tuple[str, str]:
    """Cluster and namespace, with the names of a service account judged too; SettingsInvalid."""
    wrong = problems(values, ["CLUSTER", "CLUSTER_NS"])
    named = {"--service-account": name, "--service-account-namespace": namespace or "default"}
    wrong += [f"{flag}={_shown(value)} {why}." for flag, value in named.items() if (why := checks.namespace(value))]
    if wrong:
        raise SettingsInvalid(wrong)
    return place(values)


def new_endpoint(values: Values) -> ResetEndpoint:
    """Return the endpoint to reset to; without COORDINATOR_PORT the port stays as it is; SettingsInvalid."""
    get = _SettingsReader(values)
    wrong = problems(values, ["COORDINATOR_EP", "COORDINATOR_PORT"])
    wrong += _endpoint_problems(get, wrong)
    if wrong:
        raise SettingsInvalid(wrong)
    port = values.get("COORDINATOR_PORT", "")
    return ResetEndpoint(ip=endpoint.canonical(get("COORDINATOR_EP")), port=int(port) if port else None)


def replicas(value: str, name: str = "N") -> int:
    """Return a number of clients, which the user knows under this name; SettingsInvalid."""
    problem = _problem(BY_NAME["CLIENT_REPLICAS"], value)
    if problem:
        raise SettingsInvalid([problem.replace("CLIENT_REPLICAS=", f"{name}=", 1)])
    return int(value)


def warnings(spec: ClusterSpec) -> list[str]:
    """Return warnings about allowed but unwise settings, one sentence each."""
    found = []
    if spec.namespace == "default":
        found.append("CLUSTER_NS is `default`: a namespace of its own keeps the clients apart; set CLUSTER_NS.")
    if not spec.client_cpu:
        found.append("CLIENT_CPU is not set: clients request no cores, so other pods may share their nodes.")
    if not spec.client_memory:
        found.append("CLIENT_MEMORY is not set: clients request no memory, so they are the first to be evicted.")
    if endpoint.overridden(spec):
        found.append(
            f"COORDINATOR_SERV is set: clients use {spec.coordinator_serv}, and reset-endpoint has no effect on them."
        )
    return found


class _SettingsReader:
    """Reads a setting by name; an empty value means unset, so the default applies."""

    def __init__(self, values: Values) -> None:
        self._values = values

    def __call__(self, name: str) -> str:
        return self._values.get(name, "") or BY_NAME[name].default


def _problem(setting: Setting, value: str) -> str:
    if not value:
        return ""
    wrong = checks.printable(value) or setting.check(value)
    if not wrong:
        return ""
    shown = setting.name if setting.masked else f"{setting.name}={_shown(value)}"
    return f"{shown} {wrong}."


def _shown(value: str) -> str:
    """Return the value, escaped and cut, without the credentials that somebody put into a URL."""
    cut = value if len(value) <= SHOWN else value[: SHOWN - 1] + "…"
    return repr(re.sub(r"(^|//)[^/@]*@", r"\1***@", cut))


def _missing(get: _SettingsReader) -> list[str]:
    if get("IMAGE_REPO"):
        return []
    return ["IMAGE_REPO is not set: give the repository of the prover image, such as fluidex/prover-cluster."]


def _endpoint_problems(get: _SettingsReader, found: list[str]) -> list[str]:
    """Address and port together; what was reported already by its form alone is not said twice."""
    wrong = endpoint.problems(get("COORDINATOR_EP"), _port(get))
    return [one for one in wrong if not any(known.startswith(one.split("=")[0] + "=") for known in found)]


def _address(get: _SettingsReader) -> str:
    """Return the coordinator's address, or None."""
    return endpoint.canonical(get("COORDINATOR_EP")) if get("COORDINATOR_EP") else ""


def _port(get: _SettingsReader) -> int:
    """Return the port, or the default where it is no number, which is reported elsewhere."""
    port = get("COORDINATOR_PORT")
    return int(BY_NAME["COORDINATOR_PORT"].default if checks.port(port) else port)


def _half_pair(get: _SettingsReader) -> list[str]:
    user, password = get("IMAGE_AUTH_USER"), get("IMAGE_AUTH_PASSWORD")
    if bool(user) == bool(password):
        return []
    present, absent = ("USER", "PASSWORD") if user else ("PASSWORD", "USER")
    return [f"IMAGE_AUTH_{present} is set but IMAGE_AUTH_{absent} is not: set both, or neither to be anonymous."]


def _shortage(get: _SettingsReader) -> Shortage:
    if checks.seconds(get("PROVER_WAIT_FOR_NODES") or "0"):
        return Shortage.WAIT
    if get("PROVER_AS_MANY_AS_FIT").lower() in checks.TRUE:
        return Shortage.FIT
    return Shortage.AUTOSCALE if get("PROVER_EXPECT_AUTOSCALER").lower() in checks.TRUE else Shortage.REFUSE


def _contradiction(get: _SettingsReader) -> list[str]:
    """Two answers to one question: what to do with too few nodes."""
    off = checks.FALSE | {"", "0"}
    given = [name for name in SHORTAGE if get(name).lower() not in off]
    return [f"{' and '.join(given)} exclude each other: give one of them."] if len(given) > 1 else []


def _image_target(get: _SettingsReader, seen_on: str) -> ImageTarget:
    host, path = checks.split_repository(get("IMAGE_REPO"))
    push_host = get("IMAGE_HOST") or host or DOCKER_HUB
    return ImageTarget(
        repository=path,
        push_host=push_host,
        pull_host=get("IMAGE_HOST_ALIAS") or host or push_host,
        push_auth=_auth(get, "IMAGE_PUSH_AUTH", seen_on),
        pull_auth=_auth(get, "IMAGE_PULL_AUTH", seen_on),
    )


def _auth(get: _SettingsReader, name: str, seen_on: str) -> SecretRef | None:
    """Return the reference to credentials: an explicit one first; Docker's own configuration may be anonymous."""
    if get(name):
        return SecretRef(ref=get(name), required=get(name) != "docker-config")
    if get("IMAGE_AUTH_USER"):
        return SecretRef(ref=AUTH_PAIR, required=True, seen_on=seen_on)
    return None


def _key_value(value: str) -> KeyValue:
    key, _, rest = value.partition("=")
    return KeyValue(key=key, value=rest)


def _backend(get: _SettingsReader) -> Backend:
    return Backend(
        host=get("BACKEND_HOST"),
        repo=get("BACKEND_REPO"),
        ref=get("BACKEND_REF"),
        profile=get("BACKEND_PROFILE"),
        circuit_dir=get("CIRCUIT_DIR"),
        base_image=get("PROVER_BASE_IMAGE"),
        base_context=get("PROVER_BASE_CONTEXT"),
        base_dockerfile=get("PROVER_BASE_DOCKERFILE"),
        client_command=get("CLIENT_COMMAND"),
        client_workdir=get("CLIENT_WORKDIR"),
    )
