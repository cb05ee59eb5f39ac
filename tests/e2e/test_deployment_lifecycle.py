"""The main job through the CLI, in the order in which a user lives it; each step relies on the ones before."""

import json
from typing import Any

import pytest
import yaml

from tests.support.ports import free_port
from tests.support.product.installation import Product, polls, until

SECOND_PORT = free_port()


@pytest.fixture(scope="module")
def before(product: Product) -> list[str]:
    """Return what is in the namespace before anything is deployed."""
    return product.inventory()


def _proofs(product: Product) -> dict[str, int]:
    rows = product.query("SELECT prover_id, count(*) FROM task WHERE status = 'proved' GROUP BY 1")
    return {pod: sum(number for prover, number in rows if prover.startswith(pod[:29])) for pod in product.pods()}


def _both_proved(product: Product) -> bool:
    counts = _proofs(product)
    return len(counts) == 2 and all(counts.values())


def test_setup_all_waits_for_real_requests(product: Product, before: list[str]) -> None:
    """After setup-all both clients poll, nothing is simulated, and no task exists."""
    assert not any("prover-cli-t" in name or "cluster-conf" in name for name in before)
    product.cli("setup-all", *product.here())
    pods = product.pods()
    assert len(pods) == 2

    def polled() -> bool:
        counts = polls(product.coordinator_log())
        return all(counts.get(pod, 0) >= 5 for pod in pods)

    until(polled, seconds=120, what="five polls of both clients")
    assert product.query("SELECT count(*) FROM task") == [(0,)]
    assert product.processes("build/bin/ticker") == []
    assert product.stage_annotation() == product.git("rev-parse", "--short", "HEAD")


def test_run_all_on_top_proves(product: Product) -> None:
    """run-all adds the ticker to what already runs, and both clients prove its tasks; no client restarts."""
    pods = product.pods()
    product.cli("run-all", *product.here())
    assert len(product.processes("build/bin/ticker")) == 1
    until(lambda: _both_proved(product), seconds=120, what="a proof of each client")
    assert product.pods() == pods


def test_scale_down_and_up(product: Product) -> None:
    """Scale waits until as many clients run as were asked for; zero is legal."""
    for wanted in (1, 2, 0, 2):
        product.cli("scale", str(wanted), *product.here())
        assert len(product.pods()) == wanted
        observed = product.status()["observed"]
        assert (observed["wanted"], observed["ready"]) == (wanted, wanted)


def test_scale_beyond_the_nodes_is_refused_with_numbers(product: Product) -> None:
    """Three clients on two nodes: exit 3, the numbers, and nothing changed."""
    pods = product.pods()
    said = product.cli("scale", "3", *product.here(), code=3).stderr
    assert "2 of 2" in said
    assert "3" in said
    assert product.pods() == pods
    assert product.status()["phase"] == "serving"


def test_reset_endpoint_moves_both_clients(product: Product) -> None:
    """Both clients poll the second coordinator, the first hears of them no more, and they can be moved back."""
    with product.second_coordinator(SECOND_PORT) as log:
        product.cli("reset-endpoint", "--port", str(SECOND_PORT), *product.here())
        pods = product.pods()
        until(lambda: set(pods) <= set(polls(log.read_text())), seconds=60, what="both clients at the second")
        first = polls(product.coordinator_log())
        seen = polls(log.read_text())
        until(
            lambda: all(polls(log.read_text())[pod] >= seen[pod] + 2 for pod in pods), seconds=60, what="two more polls"
        )
        assert polls(product.coordinator_log()) == first
        assert product.status()["endpoint"].endswith(f":{SECOND_PORT}")
        product.cli("reset-endpoint", "--port", str(product.coordinator_port), *product.here())


def test_nonsense_is_refused_before_anything_is_contacted(product: Product) -> None:
    """Bad values exit 2, all at once, each named."""
    said = product.cli(
        "deploy",
        *product.here(),
        "--port",
        "70000",
        code=2,
        env={"COORDINATOR_EP": "localhost", "CLIENT_REPLICAS": "x"},
    ).stderr
    for setting in ("COORDINATOR_EP", "COORDINATOR_PORT", "CLIENT_REPLICAS"):
        assert setting in said


def test_new_commit_rolls_over_on_full_nodes(product: Product) -> None:
    """A new commit and setup-all: a new stage on both nodes without tear-down, the ticker stopped, one image each."""
    old = product.pods()
    (product.repo / "NEWS").write_text("something changed\n")
    stage = product.commit("Something changed")
    said = product.cli("setup-all", *product.here())
    assert stage in said.stdout + said.stderr
    assert product.processes("build/bin/ticker") == []
    pods = product.pods()
    assert len(pods) == 2
    assert not set(pods) & set(old)
    assert product.stage_annotation() == stage
    assert product.status()["release"]["stage"] == stage


def test_deploying_the_same_again_changes_nothing(product: Product) -> None:
    """The same release converges to no change: the same pods, the same generation."""
    pods = product.pods()
    product.cli("setup-all", *product.here())
    assert product.pods() == pods


def test_render_contacts_nothing_and_equals_what_runs(product: Product) -> None:
    """Render prints the objects; the Secret is a comment."""
    text = product.cli(
        "render", *product.here(), env={"TEMPORAL_ADDRESS": "127.0.0.1:1", "KUBECONFIG": "/nonexistent"}
    ).stdout
    kinds = [one["kind"] for one in yaml.safe_load_all(text) if one]
    assert "Deployment" in kinds
    assert "Secret" not in kinds
    assert product.world["IMAGE_AUTH_PASSWORD"] not in text


def test_status_as_json(product: Product) -> None:
    """Status -o json is the whole truth as one object on stdout."""
    status: dict[str, Any] = product.status()
    assert status["phase"] == "serving"
    assert "@sha256:" in status["release"]["image"]
    assert sorted(pod["name"] for pod in status["observed"]["pods"]) == product.pods()
    listed = json.loads(product.cli("list", "-o", "json").stdout)
    assert [one["namespace"] for one in listed] == [product.namespace]


def test_tear_down_leaves_nothing(product: Product, before: list[str]) -> None:
    """Every namespaced kind lists what it listed before, and the annotation is gone."""
    assert product.stage_annotation()
    product.cli("tear-down", "--yes", *product.here())
    assert product.inventory() == before
    assert product.stage_annotation() == ""


def test_deploy_again_and_remove_with_the_backend(product: Product, before: list[str]) -> None:
    """Deploy works against the coordinator that still runs; tear-down --backend ends its processes, too."""
    product.cli("deploy", *product.here())
    assert len(product.pods()) == 2
    product.cli("tear-down", "--yes", "--backend", *product.here())
    assert product.inventory() == before
    assert product.processes("build/bin/coordinator") == []
