"""The real API server accepts what is rendered, without a warning, where the strictest profile is enforced."""

import subprocess
import uuid
from collections.abc import Iterator

import pytest
import yaml

from domain.spec import ClusterSpec, ConfigSchema, Endpoint, ImageTarget
from domain.status import Release
from planning.manifests import render

DIGEST = "sha256:" + "a" * 64
RESTRICTED = "pod-security.kubernetes.io/{}=restricted"


def kubectl(world: dict[str, str], *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run kubectl as the world's administrator; a failure shows its message."""
    command = [world["WORLD_KUBECTL"], "--kubeconfig", world["KUBECONFIG"], *arguments]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done


@pytest.fixture
def namespace(world: dict[str, str]) -> Iterator[str]:
    """Return a namespace that enforces and warns about Pod Security "restricted"."""
    name = f"render-{uuid.uuid4().hex[:8]}"
    kubectl(world, "create", "namespace", name)
    kubectl(world, "label", "namespace", name, RESTRICTED.format("enforce"), RESTRICTED.format("warn"))
    yield name
    kubectl(world, "delete", "namespace", name, "--wait=false")


@pytest.mark.parametrize("schema", [ConfigSchema.FLAT, ConfigSchema.STRUCT])
def test_api_server_admits_every_object_without_a_warning(
    world: dict[str, str], namespace: str, schema: ConfigSchema
) -> None:
    """Server-side dry run admits all objects and the pod template as a pod; nothing is deprecated or mistyped."""
    image = ImageTarget(repository="prover", pull_host=world["IMAGE_HOST_ALIAS"])
    spec = ClusterSpec(
        namespace=namespace,
        coordinator=Endpoint(ip=world["COORDINATOR_EP"]),
        image=image,
        config_schema=schema,
        client_cpu="2",
        client_memory="1Gi",
        max_unavailable="50%",
    )
    release = Release(stage="abc1234", image=render.image_reference(spec, "abc1234", DIGEST))
    objects = render.render(spec, release, owner="test/owner", image_user="65532", pull_secret=True)
    template = objects[-1]["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "spec": template["spec"]}
    pod["metadata"] = template["metadata"] | {"name": "admitted", "namespace": namespace}
    secret = render.pull_secret(spec, "user", "password", "test/owner")
    marks = render.namespace_marks(spec, "abc1234", "test/owner")
    documents = yaml.safe_dump_all([marks, secret, *objects, pod])
    done = kubectl(
        world,
        "apply",
        "--server-side",
        "--dry-run=server",
        "--validate=strict",
        "--field-manager=test",
        "-f",
        "-",
        text=documents,
    )
    assert len(done.stdout.splitlines()) == 8
