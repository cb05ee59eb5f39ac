"""The rows of docs/diagnoses.md that a pod's node tells, as small plays on real kubelets: image, start, end."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from domain import names
from domain.diagnosis import Severity
from domain.kubernetes import Manifest
from sandbox.settings import Settings
from tests.support.diagnosis.case import Case

FATAL, HUMAN, TRANSIENT, PROGRESS = Severity.FATAL, Severity.NEEDS_HUMAN, Severity.TRANSIENT, Severity.PROGRESS
ABSENT = "sha256:" + "a" * 64
_NODES = Settings.from_environment().node_name(1).removesuffix("1")  # the beginning of the node names of this world


@dataclass(frozen=True)
class Row:
    """One play, what must be said about it, and words of that."""

    code: str
    severity: Severity
    play: Callable[[Case], None]
    says: tuple[str, ...] = ()
    seconds: float = 150
    autoscale: bool = False


def config_map(data: dict[str, str]) -> Manifest:
    """Return the clients' configuration, with these keys."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": names.CONFIG_MAP}, "data": data}


def pull_secret(*hosts: str) -> Manifest:
    """`img-cred` with credentials for these hosts, none of which are right."""
    login = {"username": "prover", "password": "wrong", "auth": base64.b64encode(b"prover:wrong").decode()}
    content = base64.b64encode(json.dumps({"auths": dict.fromkeys(hosts, login)}).encode()).decode()
    head = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": names.PULL_SECRET}}
    return head | {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": content}}


def _guarded(case: Case) -> str:
    """Return an image in the registry that requires credentials."""
    return f"{case.scene.world['IMAGE_HOST_ALIAS']}/fluidex/prover:client-abc@{ABSENT}"


def _other_host(case: Case) -> None:
    case.put(pull_secret("other.example:5000"))
    case.deploy(_guarded(case), pull_secret=True)


def _wrong_password(case: Case) -> None:
    case.put(pull_secret(case.scene.world["IMAGE_HOST_ALIAS"]))
    case.deploy(_guarded(case), pull_secret=True)


def _silent_registry(case: Case) -> None:
    case.deploy(f"{case.scene.silent}/prover:client-abc@{ABSENT}")


def _ends(code: int, *lines: str, **more: Any) -> Callable[[Case], None]:
    return lambda case: case.deploy(args=("end", str(code), *lines), **more)


def _sandbox(case: Case) -> None:
    case.deploy(pod={"runtimeClassName": case.scene.broken_runtime})


def _mount(case: Case) -> None:
    volumes = [{"name": "config", "hostPath": {"path": "/nowhere-at-all", "type": "Directory"}}]
    case.deploy(pod={"volumes": volumes})


def _missing_secret(case: Case) -> None:
    reference = {"secretKeyRef": {"name": "absent", "key": "x"}}
    case.deploy(args=("say", "hello"), container={"env": [{"name": "X", "valueFrom": reference}]})


def _missing_key(case: Case) -> None:
    case.put(config_map({"other": "x"}))
    case.deploy(without=("ConfigMap",))


def _evicted(case: Case) -> None:
    volumes = [{"name": "config", "emptyDir": {"sizeLimit": "1Mi"}}]
    case.deploy(
        args=("fill", "/opt/config/file", "8"),
        pod={"volumes": volumes, "securityContext": {"fsGroup": 65535, "seccompProfile": {"type": "RuntimeDefault"}}},
        container={"volumeMounts": [{"name": "config", "mountPath": "/opt/config"}]},
    )


def _renamed_port(case: Case) -> None:
    case.deploy(args=("say", "INFO polling task"))
    case.settle()
    found = case.scene.api.get(f"/apis/discovery.k8s.io/v1/namespaces/{case.namespace}/endpointslices/{SERVICE}")
    ports = [port | {"name": "grpc"} for port in found["ports"]]
    case.patch("endpointslices", SERVICE, {"ports": ports}, "/apis/discovery.k8s.io/v1")


def _lost_slice(case: Case) -> None:
    case.deploy(args=("say", "INFO polling task"), without=("EndpointSlice",))


def _coordinator_away(case: Case) -> None:
    case.deploy(args=("poll", f"{SERVICE}.{case.namespace}.svc.cluster.local:80"))


def _unknown_name(case: Case) -> None:
    case.deploy(args=("poll", "nowhere.invalid:80"), coordinator_serv="http://nowhere.invalid")


def _says(every: int, *lines: str) -> Callable[[Case], None]:
    """Run a client that logs these lines again and again, one in so many seconds."""
    return lambda case: case.deploy(args=("log", str(every), *lines))


_FAILING = tuple(f"ERROR client::watch: witness task(task_{number}) error open witness.wtns" for number in range(3))
_BROKEN = "ERROR client::watch: poll task error poll task error: Server temporary unavaliable"
SERVICE = names.COORDINATOR_SERVICE
KUBELET = {
    "image_not_found": Row(
        "IMAGE_NOT_FOUND",
        FATAL,
        lambda case: case.deploy(f"{registry(case)}/nothing:client-abc@{ABSENT}"),
        ("not found",),
    ),
    "image_name": Row("IMAGE_NOT_FOUND", FATAL, lambda case: case.deploy("UPPER/case:1")),
    "image_auth_no_secret": Row(
        "IMAGE_AUTH", FATAL, lambda case: case.deploy(_guarded(case)), ("there is no Secret img-cred",)
    ),
    "image_auth_other_host": Row(
        "IMAGE_AUTH", FATAL, _other_host, ("has credentials for other.example:5000, the image comes from",)
    ),
    "image_auth_wrong_password": Row("IMAGE_AUTH", FATAL, _wrong_password, ("the registry does not accept them",)),
    "image_registry_down": Row(
        "IMAGE_REGISTRY_DOWN",
        TRANSIENT,
        lambda case: case.deploy(f"{registry(case).partition(':')[0]}:9/prover:client-abc@{ABSENT}"),
        ("refused", f"cannot fetch it: {_NODES}"),
    ),
    "image_slow": Row("IMAGE_SLOW", PROGRESS, _silent_registry, ("0 of 1 nodes have it",)),
    "image_arch": Row("IMAGE_ARCH", FATAL, lambda case: case.deploy(case.scene.alien), ("exec format error",)),
    "config_missing": Row(
        "CONFIG_MISSING", FATAL, lambda case: case.deploy(without=("ConfigMap",)), ('"cluster-conf" not found',)
    ),
    "config_key_missing": Row("CONFIG_MISSING", FATAL, _missing_key, ("non-existent config key",)),
    "config_secret_missing": Row("CONFIG_MISSING", FATAL, _missing_secret, ('secret "absent" not found',)),
    "podsecurity_root_image": Row(
        "PODSECURITY", FATAL, lambda case: case.deploy(pod={"securityContext": {"runAsNonRoot": True, "runAsUser": 0}})
    ),
    "crash_configuration": Row(
        "CRASH_LOOP",
        FATAL,
        _ends(101, "INFO starting", "ERROR configuration config/client.yaml: missing field `vk`"),
        ("exit code 101", "missing field `vk`", "its configuration or keys"),
    ),
    "crash_coordinator": Row(
        "CRASH_LOOP",
        HUMAN,
        _ends(1, "ERROR register error: tcp connect error: Connection refused (os error 111)"),
        ("exit code 1", "coordinator does not answer"),
    ),
    "crash_panic": Row(
        "CRASH_LOOP",
        FATAL,
        _ends(
            101, "thread 'main' panicked at 'index out of bounds', src/prover.rs:7", "note: run with RUST_BACKTRACE=1"
        ),
        ("it panicked",),
    ),
    "crash_silent": Row("CRASH_LOOP", FATAL, _ends(0), ("exit code 0", "it ended by itself")),
    "oom": Row("OOM", FATAL, lambda case: case.deploy(args=("eat",), client_memory="32Mi"), ("its limit is 32Mi",)),
    "oom_exit_137": Row("OOM", FATAL, _ends(137, "killed"), ("its node ran out of memory",)),
    "oom_exit_139": Row("OOM", FATAL, _ends(139, "INFO loading keys"), ("bad memory access",)),
    "cannot_run": Row(
        "CANNOT_RUN",
        FATAL,
        lambda case: case.deploy(container={"command": ["/nonexistent"]}),
        ("no such file", "the image lacks its program"),
    ),
    "exit_128": Row("EXIT_128", HUMAN, _ends(128, "INFO starting"), ("container runtime",)),
    "stuck_creating_sandbox": Row("STUCK_CREATING", HUMAN, _sandbox, ("sandbox", "on every node tried"), seconds=200),
    "stuck_creating_volume": Row("STUCK_CREATING", TRANSIENT, _mount, ("volumes", "/nowhere-at-all")),
    "evicted": Row("EVICTED", TRANSIENT, _evicted, ("exceeds",)),
    "not_registered_port": Row(
        "NOT_REGISTERED", HUMAN, _renamed_port, ("port grpc; Service port http", "not the clients")
    ),
    "not_registered_slice": Row("NOT_REGISTERED", HUMAN, _lost_slice, ("its EndpointSlice is gone",)),
    "not_registered_name": Row("NOT_REGISTERED", HUMAN, _unknown_name, ("no such host",)),
    "coordinator_down": Row("COORDINATOR_DOWN", TRANSIENT, _coordinator_away, ("refused", "proverctl backend status")),
    "tasks_fail": Row(
        "TASKS_FAIL", HUMAN, _says(1, "INFO polling task", *_FAILING), ("3 failed", "open witness.wtns", "coordinator")
    ),
    "coordinator_broken": Row(
        "COORDINATOR_BROKEN",
        HUMAN,
        _says(1, "INFO polling task", _BROKEN),
        ("its scheduler has ended", "Server temporary unavaliable", "verifying key", "a circuit that it does not know"),
        seconds=200,
    ),
}


def registry(case: Case) -> str:
    """Return the anonymous registry as nodes name it."""
    return case.scene.world["WORLD_ANONYMOUS_REGISTRY_ALIAS"]
