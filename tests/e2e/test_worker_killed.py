"""A worker that dies by SIGKILL in the middle: its successor ends the same, and nothing is left over or done twice."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from sandbox.services.supervision import Supervisor
from sandbox.settings import Settings
from tests.support.product.installation import Product, until

BALLAST = 192 * 1024 * 1024  # bytes; a push of this size can be caught in the middle


@pytest.fixture(scope="module")
def backend(product: Product) -> None:
    """Yield a coordinator that runs and a circuit that is set up; the fleet is removed again."""
    product.cli("setup-all", *product.here())
    product.cli("tear-down", "--yes", *product.here())


@contextmanager
def frozen(*programs: str) -> Iterator[None]:
    """Pause these processes of the world."""
    with closing(Supervisor(Settings.from_environment())) as supervisor:
        pids = [supervisor.pid(program) for program in programs]
    assert all(pids), programs
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _repository(product: Product) -> Path:
    root = Path(product.world["WORLD_STATE"]) / "registry" / "docker/registry/v2/repositories"
    return root / product.env["IMAGE_REPO"]


def _uploads(product: Product) -> list[Path]:
    """List open uploads that hold some data."""
    return [path for path in _repository(product).glob("_uploads/*/data") if path.stat().st_size > 0]


def _tags(product: Product) -> dict[str, list[str]]:
    """Tag → digests that it ever pointed to."""
    tags = _repository(product).glob("_manifests/tags/*")
    return {tag.name: sorted(link.parent.name for link in tag.glob("index/sha256/*/link")) for tag in tags}


def _replica_sets(product: Product) -> list[str]:
    listing = product.kube("get", "replicasets", f"--namespace={product.namespace}", "--output=name")
    return listing.split()


def _intent(product: Product) -> dict[str, Any]:
    """Name → spec or data of every object of ours, without what differs between two namespaces' lives."""
    kinds = "deployments,services,configmaps,endpointslices,poddisruptionbudgets"
    listing = product.kube("get", kinds, f"--namespace={product.namespace}", "--output=json")
    intent = {}
    for one in json.loads(listing)["items"]:
        one.get("spec", {}).pop("clusterIP", None)
        one.get("spec", {}).pop("clusterIPs", None)
        content = one.get("spec") or one.get("data") or one.get("endpoints")
        intent[f"{one['kind']}/{one['metadata']['name']}"] = content
    return intent


@pytest.fixture(scope="module")
def undisturbed(product: Product, backend: None) -> dict[str, Any]:  # noqa: ARG001 - an order, not a value
    """Return what the same deploy leads to when nobody dies."""
    product.cli("deploy", *product.here())
    intent = _intent(product)
    product.cli("tear-down", "--yes", *product.here())
    return intent


def test_death_during_the_push(product: Product, backend: None) -> None:  # noqa: ARG001 - an order, not a value
    """The push had begun and not ended; the successor ends it: one manifest under the tag, no upload left open."""
    (product.repo / "build/circuit/ballast.key").write_bytes(os.urandom(BALLAST))
    (product.repo / "NEWS").write_text("ballast\n")
    stage = product.commit("With ballast")
    deploy = product.begin("deploy", *product.here())
    until(lambda: _uploads(product), seconds=60, what="an upload with data")
    with frozen("registry"):
        assert _uploads(product)
        assert f"client-{stage}" not in _tags(product)
        product.kill_worker()
    product.start_worker()
    output, _ = deploy.communicate(timeout=300)
    assert deploy.returncode == 0, output + product.worker_log()[-3000:]
    tags = _tags(product)
    assert len(tags[f"client-{stage}"]) == 1
    assert tags[f"client-{stage}"][0] in product.status()["release"]["image"]
    assert list(_repository(product).glob("_uploads/*")) == []
    assert len(_replica_sets(product)) == 1
    product.cli("tear-down", "--yes", *product.here())
    (product.repo / "build/circuit/ballast.key").unlink()
    (product.repo / "NEWS").write_text("no ballast\n")
    product.commit("Without ballast")  # a commit names one content


def test_death_during_the_rollout(product: Product, undisturbed: dict[str, Any]) -> None:
    """A deploy whose worker dies while it waits for the rollout leads to the same objects, and one ReplicaSet."""
    with frozen("kubelet-2"):
        deploy = product.begin("deploy", *product.here())
        until(lambda: len(product.pods()) == 2, seconds=60, what="both pods made")
        until(lambda: product.status()["phase"] == "rolling-out", seconds=30, what="phase rolling-out")
        product.kill_worker()
    product.start_worker()
    output, _ = deploy.communicate(timeout=300)
    assert deploy.returncode == 0, output + product.worker_log()[-3000:]
    assert len(_replica_sets(product)) == 1
    assert _intent(product) == undisturbed
    product.cli("tear-down", "--yes", "--backend", *product.here())
