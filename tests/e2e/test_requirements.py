"""What the main job does not pass by: namespaces, anonymous registries, names and overrides, a second owner."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.ports import free_port
from tests.support.product.installation import BIN, Product, until


@pytest.fixture(scope="module")
def admin(world: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """Yield an installation whose worker may do everything and whose backend is set up; the fleet is removed."""
    made = Product(world, tmp_path_factory.mktemp("admin"), coordinator_port=free_port(), database_port=free_port())
    try:
        made.prepare(admin=True)
        made.start_worker()
        made.cli("setup-all", *made.here(), env={"CLIENT_REPLICAS": "0"})
        made.cli("tear-down", "--yes", *made.here())
        yield made
    finally:
        made.cli("tear-down", "--yes", "--backend", *made.here())
        made.remove()


def _object(product: Product, kind: str, name: str, namespace: str) -> dict[str, Any]:
    listing = product.kube("get", kind, name, f"--namespace={namespace}", "--output=json", "--ignore-not-found")
    found: dict[str, Any] = json.loads(listing or "{}")
    return found


def test_a_missing_namespace_is_created(admin: Product) -> None:
    """With the rights, CLUSTER_NS that does not exist is made; the fixture's own namespace came about that way."""
    namespace = f"{admin.name}-new"
    assert _object(admin, "namespace", namespace, "") == {}
    admin.cli("deploy", "-n", namespace, env={"CLIENT_REPLICAS": "1"})
    assert _object(admin, "namespace", namespace, "")["metadata"]["annotations"]["stage"]
    admin.cli("tear-down", "--yes", "-n", namespace)
    admin.kube("delete", "namespace", namespace, "--wait=false")


def test_default_is_allowed_and_warned_against(admin: Product) -> None:
    """With CLUSTER_NS unset the objects are in `default`, whatever the context says, with a warning."""
    said = admin.cli("deploy", env={"CLIENT_REPLICAS": "0"}).stderr
    assert "default" in said
    assert "CLUSTER_NS" in said
    assert _object(admin, "deployment", "prover-cli-t", "default")["spec"]["replicas"] == 0
    admin.cli("tear-down", "--yes", "-n", "default")
    assert _object(admin, "deployment", "prover-cli-t", "default") == {}


def test_an_anonymous_registry_needs_no_secret(admin: Product) -> None:
    """Without IMAGE_AUTH_* there is no img-cred, and the clients run all the same."""
    anonymous = {
        "IMAGE_HOST": admin.world["WORLD_ANONYMOUS_REGISTRY"],
        "IMAGE_HOST_ALIAS": admin.world["WORLD_ANONYMOUS_REGISTRY_ALIAS"],
        "IMAGE_AUTH_USER": "",
        "IMAGE_AUTH_PASSWORD": "",
    }
    admin.cli("deploy", *admin.here(), env=anonymous)
    assert len(admin.pods()) == 2
    assert _object(admin, "secret", "img-cred", admin.namespace) == {}
    pod = _object(admin, "deployment", "prover-cli-t", admin.namespace)["spec"]["template"]["spec"]
    assert "imagePullSecrets" not in pod
    assert pod["containers"][0]["image"].startswith(f"{anonymous['IMAGE_HOST_ALIAS']}/")
    admin.cli("tear-down", "--yes", *admin.here())


def test_names_and_upstream_can_be_set(admin: Product) -> None:
    """CLUSTER_DEPLOYNAME is the label `app`, COORDINATOR_SERV the upstream; a reset then exits 3."""
    upstream = f"http://{admin.env['COORDINATOR_EP']}:{admin.coordinator_port}"
    admin.cli("deploy", *admin.here(), env={"CLUSTER_DEPLOYNAME": "fleet-a", "COORDINATOR_SERV": upstream})
    deployment = _object(admin, "deployment", "prover-cli-t", admin.namespace)
    template = deployment["spec"]["template"]
    assert deployment["spec"]["selector"]["matchLabels"] == {"app": "fleet-a"}
    assert template["metadata"]["labels"]["app"] == "fleet-a"
    env = {one["name"]: one.get("value") for one in template["spec"]["containers"][0]["env"]}
    assert env["CLIENT_UPSTREAM"] == upstream
    before = _object(admin, "endpointslice", "cluster-coordinator", admin.namespace)
    said = admin.cli("reset-endpoint", "--port", "50199", *admin.here(), code=3).stderr
    assert "COORDINATOR_SERV" in said
    assert _object(admin, "endpointslice", "cluster-coordinator", admin.namespace) == before
    admin.cli("tear-down", "--yes", *admin.here())


@pytest.fixture
def rival(admin: Product, tmp_path: Path) -> Iterator[Product]:
    """Yield the same user with another Temporal server, which knows nothing of the first."""
    port = free_port()
    command = [str(BIN / "temporal"), "server", "start-dev", "--headless", "--port", str(port)]
    command += ["--ui-port", str(free_port()), "--metrics-port", str(free_port())]
    command += ["--db-filename", str(tmp_path / "temporal.db"), "--log-level", "error"]
    made = Product(admin.world, tmp_path, coordinator_port=admin.coordinator_port, database_port=admin.database_port)
    made.repo = admin.repo
    made.env = {**admin.env, "TEMPORAL_ADDRESS": f"127.0.0.1:{port}", "TEMPORAL_NAMESPACE": "default"}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            until(lambda: _answers(made), seconds=30, what="the other Temporal server")
            made.start_worker()
            yield made
        finally:
            made.kill_worker()
            server.terminate()


def _answers(product: Product) -> bool:
    command = [str(BIN / "temporal"), "workflow", "list", "--address", product.env["TEMPORAL_ADDRESS"]]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_second_owner_is_refused(admin: Product, rival: Product) -> None:
    """Another Temporal server's deployment of the namespace exits 3, names the owner, and changes nothing."""
    admin.cli("deploy", *admin.here(), env={"CLIENT_REPLICAS": "1"})
    listing = ("get", "all,configmaps,secrets,endpointslices", f"--namespace={admin.namespace}", "--output=yaml")
    before = admin.kube(*listing)
    said = rival.cli("deploy", *admin.here(), code=3, env={"CLIENT_REPLICAS": "1"}).stderr
    assert f"prover-cluster/default/{admin.namespace}" in said
    assert admin.kube(*listing) == before
    admin.cli("tear-down", "--yes", *admin.here())


def test_a_deployment_of_our_name_that_we_did_not_make_is_refused(admin: Product) -> None:
    """A foreign `prover-cli-t` exits 3 and stays as it is."""
    namespace = f"{admin.name}-foreign"
    admin.kube("create", "namespace", namespace)
    image = f"{admin.world['WORLD_ANONYMOUS_REGISTRY_ALIAS']}/pause:3"
    admin.kube("create", "deployment", "prover-cli-t", f"--image={image}", "--replicas=0", f"--namespace={namespace}")
    before = _object(admin, "deployment", "prover-cli-t", namespace)["spec"]
    said = admin.cli("deploy", "-n", namespace, code=3).stderr
    assert "prover-cli-t" in said
    assert _object(admin, "deployment", "prover-cli-t", namespace)["spec"] == before
    assert _object(admin, "configmap", "cluster-conf", namespace) == {}
    admin.kube("delete", "namespace", namespace, "--wait=false")
