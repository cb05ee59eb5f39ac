"""The embedded world must be a real cluster, and must leave the machine as it found it."""

import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from sandbox.go import go_command
from sandbox.host import processes
from sandbox.settings import REPOSITORY, Settings

_GREETER = REPOSITORY / "tests" / "support" / "images" / "greeter"
_SECOND = {
    "PROVER_WORLD": "second",
    "PROVER_WORLD_NODES": "1",
    "PROVER_WORLD_SUBNET": "10.211.0.0/16",
    "PROVER_WORLD_PORT_OFFSET": "100",
}


def _kubectl(world: dict[str, str], *words: str, manifest: object = None) -> str:
    command = [world["WORLD_KUBECTL"], f"--kubeconfig={world['KUBECONFIG']}", *words]
    text = None if manifest is None else json.dumps(manifest)
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def namespace(world: dict[str, str]) -> Iterator[str]:
    """Yield a namespace of the test's own."""
    name = f"world-{secrets.token_hex(4)}"
    _kubectl(world, "create", "namespace", name)
    _kubectl(world, "-n", name, "wait", "--for=create", "serviceaccount/default", "--timeout=30s")
    yield name
    _kubectl(world, "delete", "namespace", name, "--wait=false")


@pytest.fixture
def image(world: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """Return the greeter's image, pushed with credentials; named as the nodes know it."""
    build = [go_command(Settings()), "build", "-trimpath", "-o", str(tmp_path / "greeter"), "."]
    subprocess.run(build, cwd=_GREETER, env=os.environ | {"CGO_ENABLED": "0"}, check=True)
    (tmp_path / "Dockerfile").write_text('FROM scratch\nCOPY greeter /greeter\nENTRYPOINT ["/greeter"]\n')
    name = f"greeter-{secrets.token_hex(4)}"
    pushed = f"{world['IMAGE_HOST']}/{name}"
    login = {"username": world["IMAGE_AUTH_USER"], "password": world["IMAGE_AUTH_PASSWORD"]}
    client = docker.DockerClient(base_url=world["DOCKER_HOST"])
    client.images.build(path=str(tmp_path), tag=f"{pushed}:1")
    for line in client.images.push(pushed, tag="1", auth_config=login, stream=True, decode=True):
        assert "error" not in line, line
    yield f"{world['IMAGE_HOST_ALIAS']}/{name}:1"
    client.images.remove(f"{pushed}:1", force=True)
    client.close()


def test_nodes_are_ready_labelled_and_tainted(world: dict[str, str]) -> None:
    """A world that is up has two nodes that provers, and only those, are scheduled to."""
    nodes = json.loads(_kubectl(world, "get", "nodes", "-l", "fluidexnode=computation", "-o", "json"))["items"]

    settings = Settings.from_environment()
    assert sorted(node["metadata"]["name"] for node in nodes) == [settings.node_name(1), settings.node_name(2)]
    for node in nodes:
        conditions = {c["type"]: c["status"] for c in node["status"]["conditions"]}
        assert conditions["Ready"] == "True"
        taints = [(t["key"], t["value"], t["effect"]) for t in node["spec"]["taints"]]
        assert ("dedicated", "computation", "NoSchedule") in taints


def test_registry_refuses_strangers(world: dict[str, str]) -> None:
    """The registry of the product's images wants credentials; the other one does not."""
    answers = {}
    for key in ("IMAGE_HOST", "WORLD_ANONYMOUS_REGISTRY"):
        with socket.create_connection(tuple(world[key].split(":")), timeout=5) as connection:  # type: ignore[arg-type]
            connection.sendall(b"GET /v2/ HTTP/1.0\r\n\r\n")
            answers[key] = connection.recv(64).split()[1]

    assert answers["IMAGE_HOST"] == b"401"
    assert answers["WORLD_ANONYMOUS_REGISTRY"] == b"200"


def test_pod_reaches_a_process_on_the_host(world: dict[str, str], namespace: str, image: str) -> None:
    """Pushed by one name, pulled by another with a pull secret, a pod finds the host through a Service's name."""
    with socket.create_server((world["COORDINATOR_EP"], 0)) as coordinator:
        coordinator.settimeout(60)
        manifests = _greeting(namespace, image, world["COORDINATOR_EP"], coordinator.getsockname()[1])
        login = [f"--docker-username={world['IMAGE_AUTH_USER']}", f"--docker-password={world['IMAGE_AUTH_PASSWORD']}"]
        server = f"--docker-server={world['IMAGE_HOST_ALIAS']}"
        _kubectl(world, "-n", namespace, "create", "secret", "docker-registry", "img-cred", server, *login)
        _kubectl(world, "apply", "-f", "-", manifest={"apiVersion": "v1", "kind": "List", "items": manifests})

        connection, _ = coordinator.accept()
        with connection:
            connection.settimeout(10)
            assert connection.recv(100) == b"greeter\n"
    _kubectl(world, "-n", namespace, "wait", "--for=condition=Ready", "pod/greeter", "--timeout=30s")


def test_world_beside_the_first_is_mended_and_leaves_nothing(world: dict[str, str]) -> None:
    """Another world comes up beside the first, again after all its processes were killed, and goes without a trace."""
    settings = Settings.from_environment(os.environ | _SECOND)
    _sandbox("down")  # of an earlier run that was killed
    before = _belongings(settings)
    try:
        _sandbox("up")
        assert settings.env_file.stat().st_mode & 0o777 == 0o600
        processes.kill(processes.of_world(settings))
        assert _sandbox("status", check=False) == 1
        _sandbox("up")
        assert _sandbox("status", check=False) == 0
    finally:
        _sandbox("down")

    assert before == _belongings(settings)
    assert not processes.of_world(settings)
    assert not settings.state.exists()
    assert _sandbox("down", check=False) == 0
    assert Settings.from_environment().node_name(1) in _kubectl(world, "get", "nodes")


def _sandbox(*words: str, check: bool = True) -> int:
    command = [sys.executable, "-m", "sandbox", *words]
    return subprocess.run(command, cwd=REPOSITORY, env=os.environ | _SECOND, check=check).returncode


def _belongings(settings: Settings) -> dict[str, set[str]]:
    """All that a world adds to a machine, of this world and of nobody in particular."""
    state = str(settings.state)
    first = str(settings.state.parent / "world")
    mounts = {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    return {
        "mounts": {point for point in mounts if point.startswith(state)},
        "namespaces": {path.name for path in Path("/run/netns").glob("pw-*")},
        "links": {path.name for path in Path("/sys/class/net").glob("pw-*")},
        "chains": {line.split()[0] for line in _output("iptables-save").splitlines() if line.startswith(":")},
        "routes": {line for line in _output("ip", "route").splitlines() if " br-" not in line},
        "groups": {str(path) for path in Path("/sys/fs/cgroup").glob(f"**/{settings.bridge}")},
        "worlds": {str(path) for path in settings.state.parent.glob("*") if str(path) != first},
    }


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _greeting(namespace: str, image: str, host: str, port: int) -> list[dict[str, object]]:
    service: dict[str, object] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "cluster-coordinator", "namespace": namespace},
        "spec": {"ports": [{"port": 7000}]},
    }
    endpoints: dict[str, object] = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "cluster-coordinator",
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": "cluster-coordinator"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [host]}],
        "ports": [{"port": port}],
    }
    pod: dict[str, object] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "greeter", "namespace": namespace},
        "spec": {
            "imagePullSecrets": [{"name": "img-cred"}],
            "nodeSelector": {"fluidexnode": "computation"},
            "tolerations": [{"key": "dedicated", "value": "computation", "effect": "NoSchedule"}],
            "containers": [{"name": "greeter", "image": image, "args": ["cluster-coordinator:7000"]}],
        },
    }
    return [service, endpoints, pod]
