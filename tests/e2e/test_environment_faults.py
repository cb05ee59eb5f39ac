"""A world that is not as it should be: each fault is named with its remedy, changes nothing, and can be repaired."""

import asyncio
import base64
import contextlib
import io
import itertools
import json
import secrets
import shutil
import socket
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml
from temporalio.client import Client

from tests.support.ports import free_port
from tests.support.product.installation import Product, until

DEAD_PORT = 9  # nobody listens there
NO_CLIENTS = {"CLIENT_REPLICAS": "0"}
RETRY = ("--retry-for", "10s")  # tries at 0, 1, 3 and 7 s
WRONG_PASSWORD = f"wrong-{secrets.token_hex(12)}"
CIRCUIT = ("circuit.r1cs", "mon.key", "lag.key", "vk.bin")


@pytest.fixture(scope="module")
def product(world: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """Yield an installation without a running worker, whose circuit and base image are there already."""
    made = Product(world, tmp_path_factory.mktemp("bad"), coordinator_port=free_port(), database_port=free_port())
    made.env["PROVER_BASE_IMAGE"] = f"{made.name}-base"
    try:
        made.prepare()
        circuit = made.repo / "build/circuit"
        circuit.mkdir(parents=True)
        for name in CIRCUIT:
            (circuit / name).write_bytes(name.encode() * 100)
        with _base_image(world, made.env["PROVER_BASE_IMAGE"]):
            yield made
    finally:
        made.remove()


@contextmanager
def _base_image(world: dict[str, str], name: str) -> Iterator[None]:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("client"))
    with contextlib.closing(docker.DockerClient(base_url=world["DOCKER_HOST"])) as engine:
        engine.api.import_image_from_data(content.getvalue(), repository=name, tag="latest", changes=["USER 1000"])
        try:
            yield
        finally:
            engine.images.remove(name)


@contextmanager
def _worker(product: Product, **env: str) -> Iterator[None]:
    """Run a worker with another environment for the time of the context."""
    product.start_worker(env)
    try:
        yield
    finally:
        product.stop_worker()


def _deploy_in_vain(product: Product) -> tuple[dict[str, Any], str]:
    """Why `status` says that a deploy is retried, meanwhile, and all that the deploy writes until it gives up."""
    with product.begin("deploy", *product.here(), *RETRY, "--replicas", "0") as deploy:
        assert deploy.stdout is not None
        first = [*itertools.takewhile(lambda line: not line.startswith("accepted"), deploy.stdout)]
        diagnosis = until(lambda: _retried(product), seconds=20, what="a retry")
        rest, _ = deploy.communicate(timeout=60)
    output = "".join([*first, rest])
    product.said.append(output)
    assert deploy.returncode == 1, output
    return diagnosis, output


def _retried(product: Product) -> dict[str, Any]:
    retry = product.status()["retry"] or {}
    found: dict[str, Any] = retry.get("diagnosis", {})
    return found


def _deploy_once_repaired(product: Product) -> None:
    """Check that the next deploy supersedes what is parked and succeeds."""
    with _worker(product):
        product.cli("deploy", *product.here(), env=NO_CLIENTS)
        assert product.status()["phase"] == "serving"
        product.cli("tear-down", "--yes", *product.here())


WRONG = [
    ({"COORDINATOR_EP": "coordinator.example.com"}, ["COORDINATOR_EP='coordinator.example.com'", "host names"]),
    ({"COORDINATOR_EP": "127.0.0.1"}, ["COORDINATOR_EP='127.0.0.1'", "loopback"]),
    ({"COORDINATOR_EP": "fe80::1%eth0"}, ["COORDINATOR_EP='fe80::1%eth0'", "zone"]),
    ({"COORDINATOR_EP": ""}, ["COORDINATOR_EP is not set"]),
    ({"COORDINATOR_PORT": "0"}, ["COORDINATOR_PORT=0", "1 to 65535"]),
    ({"COORDINATOR_PORT": "70000"}, ["COORDINATOR_PORT=70000", "1 to 65535"]),
    ({"CLIENT_REPLICAS": "-1"}, ["CLIENT_REPLICAS='-1'", "0 to 5000"]),
    ({"CLIENT_REPLICAS": "x"}, ["CLIENT_REPLICAS='x'", "0 to 5000"]),
    ({"CLIENT_REPLICAS": "1000000000"}, ["CLIENT_REPLICAS='1000000000'", "0 to 5000"]),
    (
        {
            "CLUSTER_NS": "Not_A_Namespace",
            "COORDINATOR_EP": "localhost",
            "COORDINATOR_PORT": "http",
            "IMAGE_REPO": "Fluidex/Prover:1",
            "PROVER_BASE_IMAGE": "UPPER CASE",
            "STAGE": "-dash-",
            "CLIENT_REPLICAS": "2.5",
        },
        [
            "7 settings are wrong",
            "CLUSTER_NS='Not_A_Namespace'",
            "COORDINATOR_EP='localhost'",
            "IMAGE_REPO=",
            "COORDINATOR_PORT='http'",
            "PROVER_BASE_IMAGE='UPPER CASE'",
            "STAGE='-dash-'",
            "CLIENT_REPLICAS='2.5'",
        ],
    ),
]


@pytest.mark.parametrize(
    ("wrong", "named"), WRONG, ids=lambda value: "+".join(value) if isinstance(value, dict) else ""
)
def test_malformed_settings_exit_2(product: Product, wrong: Mapping[str, str], named: list[str]) -> None:
    """All at once, each by its name and value, before anything is contacted: Temporal's address is dead."""
    said = product.cli("deploy", code=2, env={**wrong, "TEMPORAL_ADDRESS": f"127.0.0.1:{DEAD_PORT}"}).stderr
    assert [words for words in named if words not in said] == []
    assert "nothing was contacted" in said


def test_a_missing_profile_exits_2(product: Product) -> None:
    """setup-all without a backend profile points to `deploy`, before anything is contacted."""
    env = {"BACKEND_PROFILE": "/nowhere/proverctl.yaml", "TEMPORAL_ADDRESS": f"127.0.0.1:{DEAD_PORT}"}
    said = product.cli("setup-all", *product.here(), code=2, env=env).stderr
    assert "BACKEND_PROFILE='/nowhere/proverctl.yaml'" in said
    assert f"proverctl deploy -n {product.namespace}" in said


def test_a_faulty_profile_exits_2(product: Product, tmp_path: Path) -> None:
    """An unknown key and a circle of needs are told together, each with file and line."""
    profile = tmp_path / "faulty.yaml"
    profile.write_text(
        "version: 1\nname: faulty\nsteps:\n"
        "  - name: one\n    needs: [two]\n    command: [make]\n    colour: red\n"
        "  - name: two\n    needs: [one]\n    command: [make]\n"
    )
    with _worker(product):
        before = product.inventory()
        said = product.cli("setup-all", *product.here(), code=2, env={"BACKEND_PROFILE": str(profile)}).stderr
    assert f"{profile}:7: steps[0].colour" in said
    assert f"{profile}:5: steps[0].needs" in said
    assert "circle" in said
    assert product.inventory() == before


def test_a_repository_is_needed_and_clean(product: Product, tmp_path: Path) -> None:
    """No git work tree: named, with BACKEND_REPO; uncommitted changes exit 3, naming files and --allow-dirty."""
    plain = tmp_path / "plain"
    plain.mkdir()
    shutil.copy(product.repo / "proverctl.yaml", plain)
    (product.repo / "FORGOTTEN").write_text("not committed\n")
    with _worker(product):
        before = product.inventory()
        said = product.cli("deploy", *product.here(), code=3).stderr
        assert "FORGOTTEN" in said
        assert "--allow-dirty" in said
        (product.repo / "FORGOTTEN").unlink()
        said = product.cli("deploy", *product.here(), code=1, env={"BACKEND_REPO": str(plain)}).stderr
        assert "NOT_A_REPOSITORY" in said
        assert f"BACKEND_REPO={plain}" in said
        assert product.inventory() == before
        product.cli("tear-down", "--yes", *product.here())


def test_too_few_nodes_exit_3(product: Product) -> None:
    """With the numbers, and nothing was written."""
    with _worker(product):
        before = product.inventory()
        said = product.cli("deploy", *product.here(), code=3, env={"CLIENT_REPLICAS": "50"}).stderr
    assert "nodes are usable, 50 clients are wanted" in said
    assert "or ask for at most" in said
    assert product.inventory() == before
    assert product.stage_annotation() == ""


def test_docker_that_does_not_run(product: Product) -> None:
    """DOCKER_DOWN with its remedy shows at once while it is retried, then it parks; repaired, a deploy succeeds."""
    address = f"unix://{product.repo.parent}/nobody.sock"
    with _worker(product, DOCKER_HOST=address):
        diagnosis, output = _deploy_in_vain(product)
    assert diagnosis["code"] == "DOCKER_DOWN"
    assert f"DOCKER_HOST={address}" in diagnosis["on"]
    assert "systemctl start docker" in diagnosis["do"]
    assert "DOCKER_DOWN" in output.partition("deploy: failed")[0]
    assert "parked" in output
    _deploy_once_repaired(product)


def test_kubernetes_that_is_not_reachable(product: Product, tmp_path: Path) -> None:
    """The address shows at once while it is retried, then it parks; repaired, a deploy succeeds."""
    config = yaml.safe_load(Path(product.env["KUBECONFIG"]).read_text())
    address = f"https://127.0.0.1:{DEAD_PORT}"
    config["clusters"][0]["cluster"]["server"] = address
    dead = tmp_path / "dead.kubeconfig"
    dead.write_text(yaml.safe_dump(config))
    with _worker(product, KUBECONFIG=str(dead)):
        diagnosis, output = _deploy_in_vain(product)
    assert diagnosis["code"] == "CONTROL_PLANE_DOWN"
    assert address in diagnosis["on"]
    assert "kubeconfig" in diagnosis["do"]
    assert "CONTROL_PLANE_DOWN" in output.partition("deploy: failed")[0]
    assert "parked" in output
    _deploy_once_repaired(product)


def test_a_registry_that_refuses_the_credentials(product: Product) -> None:
    """Not retried: exit 1 names the push host and the settings, never the password."""
    with _worker(product, IMAGE_AUTH_PASSWORD=WRONG_PASSWORD):
        before = product.inventory()
        said = product.cli("deploy", *product.here(), "--timeout", "60s", code=1, env=NO_CLIENTS).stderr
        assert product.inventory() == before
        product.cli("tear-down", "--yes", *product.here())
    assert f"registry {product.env['IMAGE_HOST']} refuses" in said
    assert "IMAGE_AUTH_USER" in said
    assert "IMAGE_AUTH_PASSWORD" in said
    assert "attempt 2" not in said


def test_credentials_that_only_the_starter_has(product: Product) -> None:
    """Named with both machines; the worker never goes on anonymously."""
    host = socket.gethostname()
    with _worker(product, IMAGE_AUTH_USER="", IMAGE_AUTH_PASSWORD=""):
        before = product.inventory()
        said = product.cli("deploy", *product.here(), "--timeout", "60s", code=1, env=NO_CLIENTS).stderr
        assert product.inventory() == before
        product.cli("tear-down", "--yes", *product.here())
    assert "CREDENTIALS_MISSING" in said
    assert f"on worker {host}" in said
    assert f"seen on {host}" in said
    assert "IMAGE_AUTH_USER and IMAGE_AUTH_PASSWORD" in said


def test_rights_that_lack(product: Product) -> None:
    """Every missing verb is named with the command that prints them, and nothing was written."""
    role = ("role", "proverctl-worker", f"--namespace={product.namespace}")
    whole = product.kube("get", *role, "--output=json")
    lesser = json.loads(whole)
    lesser["rules"] = [rule for rule in lesser["rules"] if rule["resources"] != ["endpointslices"]]
    for rule in lesser["rules"]:
        if rule["resources"] == ["deployments"]:
            rule["verbs"] = [verb for verb in rule["verbs"] if verb != "patch"]
    del lesser["metadata"]["resourceVersion"]
    product.kube("replace", "--filename=-", stdin=json.dumps(lesser).encode())
    with _worker(product):
        before = product.inventory()
        said = product.cli("deploy", *product.here(), "--timeout", "60s", code=1, env=NO_CLIENTS).stderr
        assert product.inventory() == before
        product.kube("apply", "--filename=-", stdin=product.cli("rbac", "-n", product.namespace).stdout.encode())
        product.cli("tear-down", "--yes", *product.here())
    slices = [f"{verb} endpointslices.discovery.k8s.io" for verb in ("get", "create", "patch", "delete")]
    assert [right for right in ["patch deployments.apps", *slices] if right not in said] == []
    assert f"proverctl rbac -n {product.namespace}" in said


def test_passwords_stay_where_they_belong(product: Product) -> None:
    """After deploys that succeeded and failed no password is in a history, log, output, command line, file or image."""
    with _command_lines() as lines, _worker(product, IMAGE_AUTH_PASSWORD=WRONG_PASSWORD):
        product.cli("deploy", *product.here(), code=1, env=NO_CLIENTS)
        product.stop_worker()
        product.start_worker()
        product.cli("deploy", *product.here(), env=NO_CLIENTS)
        product.status()
        product.cli("tear-down", "--yes", *product.here())
    places = {
        "history": asyncio.run(_histories(product)),
        "log": [product.worker_log().encode()],
        "output": [said.encode() for said in product.said],
        "command line": sorted(lines),
        "state": [path.read_bytes() for path in product.state.rglob("*") if path.is_file()],
        "image": _image(product),
    }
    assert [place for place, found in places.items() if not any(found)] == []
    for password in (product.world["IMAGE_AUTH_PASSWORD"], WRONG_PASSWORD):
        forms = _forms(product.world["IMAGE_AUTH_USER"], password)
        leaks = [place for place, found in places.items() for one in found if any(form in one for form in forms)]
        assert leaks == []


def _forms(user: str, password: str) -> list[bytes]:
    """Return the password as it is, and as registries and Kubernetes carry it."""
    return [password.encode(), *(base64.b64encode(text.encode()) for text in (password, f"{user}:{password}"))]


@contextmanager
def _command_lines() -> Iterator[set[bytes]]:
    """Collect the command lines of all processes that live within the context."""
    seen: set[bytes] = set()
    end = threading.Event()

    def look() -> None:
        while not end.wait(0.05):
            for entry in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    seen.add(entry.read_bytes())

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        end.set()
        watcher.join()


async def _histories(product: Product) -> list[bytes]:
    """Every event, memo and summary of the Temporal namespace."""
    client = await Client.connect(product.world["TEMPORAL_ADDRESS"], namespace=product.name)
    found = []
    async for run in client.list_workflows():
        handle = client.get_workflow_handle(run.id, run_id=run.run_id)
        found += [event.SerializeToString() async for event in handle.fetch_history_events()]
        found.append((await handle.describe()).raw_description.SerializeToString())
    return found


def _image(product: Product) -> list[bytes]:
    """Every blob that the registry keeps of our repository: layers, configurations, manifests."""
    root = Path(product.world["WORLD_STATE"]) / "registry/docker/registry/v2"
    links = (root / "repositories" / product.env["IMAGE_REPO"]).rglob("link")
    digests = {link.read_text().removeprefix("sha256:") for link in links}
    return [(root / "blobs/sha256" / digest[:2] / digest / "data").read_bytes() for digest in sorted(digests)]
