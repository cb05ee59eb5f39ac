"""The commands of docs/break-glass.md do what it says: each block is run as it stands there."""

import asyncio
import re
from pathlib import Path

import pytest

from clients.kubernetes.cluster import KubernetesCluster
from domain import names
from sandbox.settings import REPOSITORY
from tests.support.command_line import BIN, Done
from tests.support.kubernetes.inspected_release import IMAGE, PREFIX, Inspected, said

PAGE = (REPOSITORY / "docs/break-glass.md").read_text()


def blocks(section: str) -> list[str]:
    """Return the blocks of commands of one section."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    found = re.findall(r"(?:^    .*\n)+", text, flags=re.MULTILINE)
    return [re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in found]


@pytest.fixture
def room(cluster: KubernetesCluster, world: dict[str, str], namespace: str, tmp_path: Path) -> Inspected:
    """Return a release of ours that has no node, and a user with kubectl."""
    found = Inspected(cluster, world, namespace, tmp_path)
    found.cli.environ["PATH"] = f"{BIN}:{Path(world['WORLD_KUBECTL']).parent}:{found.cli.environ['PATH']}"
    found.apply()
    return found


async def run(room: Inspected, script: str) -> Done:
    """Run the commands as a person types them, in this test's namespace."""
    script = re.sub(r"\bprovers\b(?!\.yaml)", room.namespace, script)
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-euo",
        "pipefail",
        "-c",
        script,
        env=room.cli.environ,
        cwd=room.folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    return await room.cli.end(process)


def replicas(room: Inspected) -> int:
    """Of the live Deployment."""
    found = room.cluster.get("Deployment", names.DEPLOYMENT, room.namespace)
    assert found is not None
    return int(found["spec"]["replicas"])


async def test_every_look_works_without_temporal(room: Inspected) -> None:
    """Exit 1 of diagnose and 3 of preflight are findings: there is no node for the clients; never 5 or a traceback."""
    commands = blocks("Look")[0].splitlines()
    assert len(commands) == 5
    ends = {command.split()[1]: await run(room, command) for command in commands}
    assert {name: done.code for name, done in ends.items()} == {
        "status": 0,
        "diagnose": 1,
        "nodes": 0,
        "plan": 0,
        "preflight": 3,
    }
    assert [name for name, done in ends.items() if "Traceback" in done.err or not done.out] == []
    assert "not there" not in ends["diagnose"].err
    assert (room.folder / "why.json.gz").is_file()


async def test_a_scale_by_hand_conflicts_until_it_is_given_back(room: Inspected) -> None:
    """The plan names kubectl and the field; afterwards it would change the number back."""
    done = await run(room, blocks("Another number of clients")[0])
    assert (done.code, replicas(room)) == (0, 1), done.err
    refused = {change.kind: change for change in room.plan().changes}["Deployment"]
    assert (refused.action, "SSA_CONFLICT" in refused.note) == ("refused", True)
    assert "'kubectl'" in refused.note
    assert said(room.plan(room.spec(replicas=1)))["Deployment"] == "same"
    done = await run(room, blocks("Afterwards")[0])
    assert done.code == 0, done.err
    assert said(room.plan())["Deployment"] == "change"
    room.apply()
    assert replicas(room) == 2


async def test_what_a_deploy_would_apply(room: Inspected) -> None:
    """Over a scale by hand, with mark and digest kept: the next deploy goes through and restarts nobody needlessly."""
    await run(room, blocks("Another number of clients")[0])
    done = await run(room, blocks("What a deploy would apply")[0])
    assert done.code == 0, done.err
    assert replicas(room) == 2
    live = room.cluster.get("Deployment", names.DEPLOYMENT, room.namespace)
    assert live is not None
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == IMAGE
    assert "refused" not in said(room.plan()).values()
    assert not (room.folder / "provers.yaml").exists()


async def test_a_foreign_mark_is_handed_over(room: Inspected) -> None:
    """After that everything is ours and the same."""
    mark = f"{PREFIX}/prover-cluster/default/{room.namespace}"
    handover = blocks("Afterwards")[1]
    lost = await run(room, f"MARK=lost/default/x; {handover}")
    assert lost.code == 0, lost.err
    assert said(room.plan())["Deployment"] == "refused"
    done = await run(room, f"MARK={mark}; {handover}")
    assert done.code == 0, done.err
    assert set(said(room.plan()).values()) == {"same"}
