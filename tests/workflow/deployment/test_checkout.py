"""A deploy of a repository at a ref: checked out once, first, and everything later is of that commit and client."""

from typing import TYPE_CHECKING, Any

import pytest
from temporalio.client import WorkflowFailureError

from domain import names
from domain.commands import Verdict
from domain.errors import NotARepository
from domain.messages.backend import LoadedProfile, ProfileQuestion
from domain.messages.inspection import InspectInput
from domain.spec import BackendMode, ClusterSpec, ConfigSchema
from domain.status import Phase
from workflows.inspection.lookup import ProfileWorkflow
from workflows.inspection.workflow import InspectWorkflow

if TYPE_CHECKING:
    from tests.support.temporal.stage import Stage
    from tests.support.temporal.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")
URL = "https://git.example.com/backend"


def apart(stage: "Stage") -> dict[str, Any]:
    """What makes the backend a URL at a tag."""
    return {"backend": stage.spec().backend.model_copy(update={"repo": URL, "ref": "v1"})}


async def test_the_source_is_checked_out_first_and_used_everywhere(stage: "Stage", world: "World") -> None:
    """What was asked for stays with the release; the image is made in the directory."""
    await stage.deploy(**apart(stage))
    status = await stage.phase(Phase.SERVING)
    assert world.names()[:4] == ["checkout_source", "inspect_target", "check_nodes", "resolve_source"]
    requests = dict(world.calls)
    assert (requests["resolve_source"].repo, requests["ensure_image"].backend.repo) == (("/state/backend-v1",) * 2)
    assert requests["ensure_image"].backend.ref == ""
    assert status.release is not None
    assert status.release.checked_out == f"{URL}@v1"
    assert (await stage.outcome("d1")).message.endswith(f"; {URL}@v1 is commit aaaaaaaaaaaa")


async def test_a_ref_that_is_not_there_ends_it_before_anything_is_looked_at(stage: "Stage", world: "World") -> None:
    """It parks with the diagnosis, or is told; nothing was changed."""
    world.faults["checkout_source"] = [NotARepository("neither a branch nor a tag v1", on="BACKEND_REF=v1")]
    await stage.deploy(**apart(stage))
    outcome = await stage.outcome("d1")
    assert outcome.diagnosis is not None
    assert (outcome.diagnosis.code, outcome.diagnosis.on) == ("NOT_A_REPOSITORY", "BACKEND_REF=v1")
    assert world.names() == ["checkout_source"]


@pytest.mark.parametrize(
    ("asked", "found", "given"),
    [
        (ConfigSchema.AUTO, ConfigSchema.STRUCT, ConfigSchema.STRUCT),
        (ConfigSchema.AUTO, ConfigSchema.FLAT, ConfigSchema.FLAT),
        (ConfigSchema.STRUCT, None, ConfigSchema.STRUCT),
    ],
)
async def test_the_client_s_schema_is_settled_once(
    stage: "Stage", world: "World", asked: ConfigSchema, found: ConfigSchema | None, given: ConfigSchema
) -> None:
    """Image and objects are of the same one, and none of them hears of auto."""
    world.schema = found
    await stage.deploy(config_schema=asked)
    await stage.phase(Phase.SERVING)
    requests = dict(world.calls)
    assert (requests["ensure_image"].config_schema, requests["apply_release"].spec.config_schema) == (given, given)


@pytest.mark.parametrize(("asked", "found"), [(ConfigSchema.AUTO, None), (ConfigSchema.FLAT, ConfigSchema.STRUCT)])
async def test_a_schema_that_would_not_fit_ends_it_before_the_image(
    stage: "Stage", world: "World", asked: ConfigSchema, found: ConfigSchema | None
) -> None:
    """The setting is named."""
    world.schema = found
    await stage.deploy(config_schema=asked)
    outcome = await stage.outcome("d1")
    assert outcome.verdict is not Verdict.DONE
    assert outcome.diagnosis is not None
    assert f"CLIENT_CONFIG_SCHEMA={asked}" in str(outcome.diagnosis)
    assert "ensure_image" not in world.names()


async def test_a_moved_tag_and_absent_keys_are_told(stage: "Stage", world: "World") -> None:
    """The old digest is in the outcome; the objects know that there is no lag.key."""
    world.image = {"replaced": "sha256:9", "lagrange": False}
    await stage.deploy(force_tag=True)
    await stage.phase(Phase.SERVING)
    told = "tag client-aaaaaaa moved; it named sha256:9 before"
    assert told in (await stage.outcome("d1")).message
    requests = dict(world.calls)
    assert requests["ensure_image"].force_tag is True
    assert requests["apply_release"].release.lagrange is False


async def test_a_plan_checks_out_what_a_deploy_would(stage: "Stage", world: "World") -> None:
    """And settles the schema, even with a stage by hand."""
    world.schema = ConfigSchema.STRUCT
    spec = stage.spec(**apart(stage), stage="mine", config_schema=ConfigSchema.AUTO)
    await stage.client.execute_workflow(
        InspectWorkflow.run,
        InspectInput(spec=spec, replicas=2, what="plan"),
        id=f"prover-inspect/plan-{stage.namespace}",
        task_queue=names.DEPLOY_QUEUE,
    )
    assert world.names() == ["checkout_source", "resolve_source", "plan"]
    assert world.calls[-1][1].spec.config_schema is ConfigSchema.STRUCT


@pytest.mark.parametrize(
    ("mode", "asked"), [(BackendMode.REAL, ["checkout_source", "load_profile"]), (BackendMode.NONE, ["load_profile"])]
)
async def test_a_profile_is_fetched_only_to_be_brought_up(
    stage: "Stage", world: "World", mode: BackendMode, asked: list[str]
) -> None:
    """A look at a backend must not change the source under it."""
    loaded = await profile(stage, stage.spec(**apart(stage), backend_mode=mode))
    assert loaded.profile.name == "example"
    assert world.names() == asked


async def test_a_profile_of_a_tree_is_read_there(stage: "Stage", world: "World") -> None:
    """Nothing is checked out."""
    await profile(stage, stage.spec(backend_mode=BackendMode.REAL))
    assert world.names() == ["load_profile"]


async def profile(stage: "Stage", spec: ClusterSpec) -> LoadedProfile:
    """As `backend up` asks for it."""
    try:
        return await stage.client.execute_workflow(
            ProfileWorkflow.run,
            ProfileQuestion.model_validate(spec.model_dump()),
            id=f"prover-inspect/profile-{stage.namespace}",
            task_queue=names.DEPLOY_QUEUE,
        )
    except WorkflowFailureError as error:
        raise AssertionError(str(error.cause)) from error
