"""InspectWorkflow answers what is asked, asks the host only when it must, and changes nothing."""

from typing import TYPE_CHECKING, Any

import pytest
from temporalio.client import WorkflowFailureError

from domain import names
from domain.diagnosis import Diagnosis, Severity
from domain.errors import DirtyTree, NotARepository
from domain.images import ImagesRequest, StoredImage
from domain.messages.inspection import InspectInput, Inspection
from domain.status import Observation
from workflows.inspection.workflow import InspectWorkflow

if TYPE_CHECKING:
    from tests.support.temporal.stage import Stage
    from tests.support.temporal.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def inspect(
    stage: "Stage", what: str, *, stage_name: str = "", circuit: str = "", repo: str = "/repo", **extra: Any
) -> Inspection:
    """Ask one question about two clients."""
    spec = stage.spec().model_copy(update={"stage": stage_name, "circuit": circuit})
    spec = spec.model_copy(update={"backend": spec.backend.model_copy(update={"repo": repo})})
    return await stage.client.execute_workflow(
        InspectWorkflow.run,
        InspectInput(spec=spec, replicas=2, what=what, **extra),
        id=f"prover-inspect/{what}-{stage.namespace}",
        task_queue=names.DEPLOY_QUEUE,
    )


async def test_a_plan_is_of_the_commit_that_a_deploy_would_take(stage: "Stage", world: "World") -> None:
    """The stage is that of the repository; the image has its tag and no digest yet, for nothing is built."""
    answer = await inspect(stage, "plan")
    assert world.names() == ["resolve_source", "plan"]
    release = world.calls[-1][1].release
    assert (release.commit, release.image.rpartition(":")[2]) == (world.commit, f"client-{release.stage}")
    assert answer.plan is not None
    assert answer.plan.cost == f"stage {release.stage}"


async def test_a_plan_of_a_stage_by_hand_needs_no_repository(stage: "Stage", world: "World") -> None:
    """So it works with no worker on the backend host, once CIRCUIT is set; else a profile there may name it."""
    await inspect(stage, "plan", stage_name="mine", circuit="block")
    assert world.names() == ["plan"]
    assert world.calls[-1][1].release.stage == "mine"
    await inspect(stage, "plan", stage_name="mine")
    assert world.names()[1:] == ["resolve_source", "plan"]


async def test_a_plan_shows_the_circuit_of_the_profile(stage: "Stage", world: "World") -> None:
    """As the deploy would take it, and a warning where the backend's programs have another one."""
    world.profile = world.profile.model_copy(update={"circuit": "block_2"})
    world.circuits = {"config/coordinator.yaml": ["block_4"]}
    answer = await inspect(stage, "plan")
    assert world.calls[-1][1].spec.circuit == "block_2"
    assert answer.plan is not None
    assert "CIRCUIT=block_2, but config/coordinator.yaml has block_4" in answer.plan.warnings[0]


async def test_a_plan_of_a_dirty_tree_is_refused_as_the_deploy_would_be(stage: "Stage", world: "World") -> None:
    """With the same diagnosis."""
    world.faults["resolve_source"] = [DirtyTree("the git tree has 1 uncommitted change")]
    with pytest.raises(WorkflowFailureError) as raised:
        await inspect(stage, "plan")
    assert "DIRTY_TREE" in str(raised.value.cause)


async def test_a_diagnosis_is_the_worker_s(stage: "Stage", world: "World") -> None:
    """All findings; the evidence stays on the worker, and the answer says where."""
    wrong = Diagnosis(code="CRASH_LOOP", what="the client ends")
    world.live = Observation(exists=True, wanted=2, diagnosis=wrong)
    answer = await inspect(stage, "diagnose", bundle=True)
    assert answer.diagnose is not None
    assert (answer.diagnose.findings, answer.diagnose.host) == ([wrong], "worker-1")


async def test_a_diagnosis_compares_the_circuit_with_the_backend(stage: "Stage", world: "World") -> None:
    """The host reads it, dirty tree or not, once it is known what clients ask for; a guess makes way for it."""
    world.clients_circuit = "block"
    world.circuits = {"config/coordinator.yaml": ["block_2"]}
    guess = Diagnosis(code="NO_TASKS", what="clients have received no task", severity=Severity.PROGRESS)
    world.live = Observation(exists=True, wanted=2, diagnosis=guess)
    answer = await inspect(stage, "diagnose")
    assert world.names() == ["diagnose", "resolve_source"]
    asked = world.calls[-1][1]
    assert (asked.allow_dirty, asked.variables["CIRCUIT"], asked.backend.repo) == (True, "block", "/repo")
    assert answer.diagnose is not None
    [found] = answer.diagnose.findings
    assert (found.code, found.severity) == ("NO_TASKS", Severity.NEEDS_HUMAN)
    assert found.evidence == "config/coordinator.yaml has block_2"
    assert "CIRCUIT=block_2" in found.do


async def test_a_diagnosis_finds_no_fault_in_a_circuit_that_the_backend_has(stage: "Stage", world: "World") -> None:
    """Accept a circuit that is one of several; add nothing."""
    world.clients_circuit = "block"
    world.circuits = {"config/coordinator.yaml": ["block_2", "block"]}
    world.live = Observation(exists=True, wanted=2)
    answer = await inspect(stage, "diagnose")
    assert answer.diagnose is not None
    assert (answer.diagnose.findings, answer.diagnose.warnings) == ([], [])


async def test_a_diagnosis_does_without_the_backend_host(stage: "Stage", world: "World") -> None:
    """A host that cannot read its repository is a warning, and so is one without a worker; findings are kept."""
    world.clients_circuit = "block"
    world.circuits = {"config/coordinator.yaml": ["block_2"]}
    wrong = Diagnosis(code="CRASH_LOOP", what="the client ends")
    world.live = Observation(exists=True, wanted=2, diagnosis=wrong)
    world.faults["resolve_source"] = [NotARepository("there is no repository", on="/repo")]
    answer = await inspect(stage, "diagnose")
    assert answer.diagnose is not None
    assert answer.diagnose.findings == [wrong]
    assert "CIRCUIT was not compared" in answer.diagnose.warnings[0]
    assert "there is no repository on /repo" in answer.diagnose.warnings[0]
    stage.namespace += "-away"  # the name of the host, too: nobody takes its steps
    answer = await inspect(stage, "diagnose")
    assert answer.diagnose is not None
    assert answer.diagnose.findings == [wrong]
    assert f"the worker of the backend host {stage.namespace} did not answer" in answer.diagnose.warnings[0]


async def test_a_diagnosis_without_a_repository_asks_no_host(stage: "Stage", world: "World") -> None:
    """Nothing could be compared."""
    world.clients_circuit = "block"
    world.live = Observation(exists=True, wanted=2)
    await inspect(stage, "diagnose", repo="")
    assert world.names() == ["diagnose"]


async def test_images_are_a_matter_of_the_host(stage: "Stage", world: "World") -> None:
    """With what is to be asked; without that it is no question."""
    spec = stage.spec()
    asked = ImagesRequest(backend=spec.backend, target=spec.image, named={"sha256:a": ["one"]}, keep=0)
    world.images = [StoredImage(place="registry", digest="sha256:a", tags=["client-a"])]
    answer = await inspect(stage, "images", images=asked)
    assert answer.images is not None
    assert [one.kept for one in answer.images.images] == ["named by one"]
    assert world.calls == [("survey_images", asked)]
    stage.namespace += "-again"
    with pytest.raises(WorkflowFailureError) as raised:
        await inspect(stage, "images")
    assert "ask for nodes" in str(raised.value.cause)


async def test_a_preflight_tells_the_cluster_what_the_host_found(stage: "Stage", world: "World") -> None:
    """Checks of both, the host's first."""
    answer = await inspect(stage, "preflight")
    assert world.names() == ["preflight_host", "preflight_cluster"]
    assert answer.preflight is not None
    assert [(check.name, check.detail) for check in answer.preflight.checks] == [("host", ""), ("cluster", "found")]


async def test_another_question_is_refused(stage: "Stage") -> None:
    """With the questions that it knows."""
    with pytest.raises(WorkflowFailureError) as raised:
        await inspect(stage, "weather")
    assert "nodes, preflight, plan, diagnose or images" in str(raised.value.cause)
