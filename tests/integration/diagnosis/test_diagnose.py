"""Why it is stuck, told from a real cluster alone; and the evidence, which holds no secret."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from clients.kubernetes.cluster import KubernetesCluster
from domain import names
from domain.kubernetes import Manifest
from tests.support.kubernetes.inspected_release import CANARY, HOST, Inspected
from tests.support.kubernetes.service_accounts import account_kubeconfig, limited_account, until

READ = ["get", "list", "watch"]


@pytest.fixture
def room(cluster: KubernetesCluster, world: dict[str, str], namespace: str, tmp_path: Path) -> Inspected:
    """Return an empty namespace."""
    return Inspected(cluster, world, namespace, tmp_path)


def stuck(room: Inspected) -> None:
    """Apply a release whose two pods find no node, and wait until the scheduler has said so."""
    room.apply()

    def unscheduled() -> bool:
        pods = room.cluster.find("Pod", room.namespace)
        told = [event.get("reason") for event in room.cluster.events(room.namespace)]
        return len(pods) == 2 and all(pod["status"].get("conditions") for pod in pods) and "FailedScheduling" in told

    assert until(unscheduled)


def foreign(room: Inspected, image: str) -> Manifest:
    """Return a Deployment by hand under our names, with a secret in its environment; it ends at once."""
    template: dict[str, Any] = {
        "metadata": {"labels": {"app": "byhand"}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "nodeSelector": {"fluidexnode": "computation"},
            "tolerations": [{"key": "dedicated", "operator": "Exists"}],
            "containers": [
                {
                    "name": "client",
                    "image": image,
                    "command": ["/nothing-here", f"--db-password={CANARY}"],
                    "env": [{"name": "DATABASE", "value": f"postgres://prover:{CANARY}@db/prover"}],
                }
            ],
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": names.DEPLOYMENT, "namespace": room.namespace},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "byhand"}}, "template": template},
    }


def test_nothing_deployed_is_no_finding(room: Inspected) -> None:
    """The CLI says it in words."""
    report = room.diagnose()
    assert (report.observed.exists, report.findings) == (False, [])


def test_a_stuck_rollout_is_explained(room: Inspected) -> None:
    """The label that no node carries, and what the scheduler said."""
    stuck(room)
    report = room.diagnose()
    assert report.findings[0].code == "SCHED_NO_LABEL"
    assert "nodes are available" in report.findings[0].evidence
    assert report.bundle == ""


def test_the_worker_keeps_the_evidence(room: Inspected) -> None:
    """On its own disk, outside Temporal, with what explains the failure and no secret."""
    stuck(room)
    report = room.diagnose(bundle=True)
    raw = gzip.decompress(Path(report.bundle).read_bytes()).decode()
    content = json.loads(raw)
    assert content["findings"][0]["code"] == "SCHED_NO_LABEL"
    assert {pod["kind"] for pod in content["pods"]} == {"Pod"}
    assert any("FailedScheduling" in str(event) for event in content["events"])
    assert CANARY not in raw


async def test_the_command_line_explains_without_temporal(room: Inspected, world: dict[str, str]) -> None:
    """Each finding in full, exit 1, and a bundle that is for its owner alone; also of what others deployed."""
    room.cluster.apply(foreign(room, f"{world['WORLD_ANONYMOUS_REGISTRY_ALIAS']}/pause:1"))
    assert until(lambda: bool(room.diagnose().findings))
    file = room.folder / "why.json.gz"
    done = await room.cli("diagnose", "--direct", "--bundle", str(file))
    assert done.code == 1, done.err
    assert "0 of 1 clients ready" in done.out
    assert "  do: " in done.out
    assert "  evidence: " in done.out
    raw = gzip.decompress(file.read_bytes()).decode()
    assert "DATABASE" in raw
    assert CANARY not in raw + done.out + done.err
    assert file.stat().st_mode & 0o777 == 0o600
    missing = await room.cli("diagnose", "--direct", "--bundle", "/nowhere/why.json.gz")
    assert (missing.code, "--bundle" in missing.err) == (2, True)


async def test_what_others_deployed_is_named(room: Inspected, world: dict[str, str]) -> None:
    """`status --direct` says what stands there, who made it, and that it is not ours; plan refuses it."""
    room.cluster.apply(foreign(room, f"{world['WORLD_ANONYMOUS_REGISTRY_ALIAS']}/pause:1"))
    done = await room.cli("status", "--direct", "-o", "json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert (found["source"], found["owner"]) == ("cluster", "")
    assert found["objects"] == [f"Deployment {names.DEPLOYMENT} (made by {names.FIELD_MANAGER}; no owner mark)"]
    text = await room.cli("status", "--direct")
    assert "none: not made by proverctl" in text.out
    plan = await room.cli("plan", "--direct")
    assert plan.code == 3
    assert "was not made by proverctl" in plan.out


async def test_status_of_our_own_release(room: Inspected) -> None:
    """Stage, owner, image, endpoint and pods, from the live objects; nothing there is exit 1."""
    nothing = await room.cli("status", "--direct")
    assert (nothing.code, "nothing is deployed" in nothing.err) == (1, True)
    stuck(room)
    found = json.loads((await room.cli("status", "--direct", "-o", "json")).out)
    assert found["stage"] == "abc"
    assert found["owner"] == f"test/inspection/prover-cluster/default/{room.namespace}"
    assert found["release"]["endpoint"] == "10.0.0.9:50055"
    assert found["release"]["image"].startswith(f"{HOST}/prover:client-abc@sha256:")
    assert found["observed"]["wanted"] == 2


async def test_who_may_only_read_still_sees(room: Inspected, world: dict[str, str]) -> None:
    """A read-only account without Secrets: all looks work, what may not be seen is unknown with the missing rule."""
    stuck(room)
    rules = [
        {"apiGroups": ["apps"], "resources": ["deployments", "replicasets"], "verbs": READ},
        {"apiGroups": [""], "resources": ["pods", "services", "configmaps", "events", "endpoints"], "verbs": READ},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": READ},
        {"apiGroups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": READ},
    ]
    limited_account(room.cluster, room.namespace, rules)
    room.cli.environ["KUBECONFIG"] = account_kubeconfig(room.cluster, world, room.namespace, "limited", room.folder)
    status = await room.cli("status", "--direct", "-o", "json")
    assert status.code == 0, status.err
    assert "Secret img-cred is unknown" in status.err
    assert 'Role rule: {apiGroups: [""], resources: [secrets]' in status.err.replace("''", '""')
    diagnose = await room.cli("diagnose", "--direct", "-o", "json")
    assert diagnose.code == 1
    assert json.loads(diagnose.out)["findings"][0]["code"].startswith("SCHED_")
    plan = await room.cli("plan", "--direct", "--replicas", "3", "-o", "json")
    assert plan.code == 0, plan.err
    changes = {one["kind"]: one for one in json.loads(plan.out)["changes"]}
    assert (changes["Deployment"]["action"], changes["Secret"]["action"]) == ("change", "unknown")
    changed = [line for line in changes["Deployment"]["lines"] if line.startswith(("-", "+"))]
    assert changed == ["-  replicas: 2", "+  replicas: 3"]
    assert "compared without the API server" in changes["Deployment"]["note"]
    nodes = await room.cli("nodes", "--direct")
    assert (nodes.code, "may not list nodes" in nodes.err) == (1, True)


async def test_a_cluster_that_is_away_is_said_at_once(room: Inspected) -> None:
    """Exit 1 with the address, in the caller's own terms; a kubeconfig that is none is exit 2."""
    away = room.folder / "away.kubeconfig"
    unreachable = {"clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}]}
    entries = {
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {}}],
    }
    away.write_text(yaml.safe_dump({**unreachable, **entries, "current-context": "c"}))
    done = await room.cli("status", "--direct", KUBECONFIG=str(away))
    assert done.code == 1
    assert "https://127.0.0.1:1" in done.err
    assert "your kubeconfig" in done.err
    assert "Traceback" not in done.err
    none = await room.cli("status", "--direct", KUBECONFIG="/nowhere")
    assert (none.code, "KUBECONFIG=/nowhere" in none.err) == (2, True)
