"""What the CLI asks of a backend's host: one activity each, and a refusal comes with its diagnosis."""

from typing import TYPE_CHECKING

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

from domain import names
from domain.errors import SettingsInvalid
from domain.messages.backend import LogRequest, ProfileQuestion, ProgramSearch
from workflows.inspection.lookup import LogWorkflow, ProfileWorkflow

if TYPE_CHECKING:
    from tests.support.temporal.stage import Stage
    from tests.support.temporal.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_profile_is_read_as_its_set_up_would(stage: "Stage", world: "World") -> None:
    """With the same built-in variables, those excepted that only the profile settles."""
    loaded = await stage.client.execute_workflow(
        ProfileWorkflow.run,
        ProfileQuestion(**stage.spec().model_dump(), programs=ProgramSearch(every=True)),
        id=f"prover-inspect/profile-{stage.namespace}",
        task_queue=names.DEPLOY_QUEUE,
    )
    assert (loaded.profile, loaded.repo) == (world.profile, "/repo")
    variables = world.calls[0][1].variables
    assert (variables["COORDINATOR_EP"], variables["CIRCUIT_DIR"]) == ("10.0.0.9", "circuit")
    assert "BACKEND_REPO" not in variables
    assert world.calls[0][1].programs == ProgramSearch(every=True)


async def test_a_profile_that_is_wrong_is_told(stage: "Stage", world: "World") -> None:
    """As the diagnosis of the worker."""
    world.faults["load_profile"] = [SettingsInvalid(["line 3: needs"])]
    with pytest.raises(WorkflowFailureError) as raised:
        await stage.client.execute_workflow(
            ProfileWorkflow.run,
            ProfileQuestion.model_validate(stage.spec().model_dump()),
            id=f"prover-inspect/profile-{stage.namespace}",
            task_queue=names.DEPLOY_QUEUE,
        )
    assert isinstance(raised.value.cause, ApplicationError)
    assert raised.value.cause.details[0]["what"] == "line 3: needs"


async def test_a_log_is_read_on_its_host(stage: "Stage") -> None:
    """The host of the backend alone says whom to ask."""
    chunk = await stage.client.execute_workflow(
        LogWorkflow.run,
        LogRequest(backend=stage.spec().backend, profile="example", step="setup"),
        id=f"prover-inspect/log-{stage.namespace}",
        task_queue=names.DEPLOY_QUEUE,
    )
    assert (chunk.text, chunk.next) == ("setup says hello\n", 20)
