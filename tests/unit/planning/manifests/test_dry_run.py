"""What is applied on trial, before everything about a deploy is known."""

from typing import Any

import pytest

from domain.spec import ClusterSpec, ConfigSchema, Endpoint, ImageTarget
from planning.manifests import dry_run

SPEC = ClusterSpec(coordinator=Endpoint(ip="10.0.0.9"), image=ImageTarget(repository="prover"))


@pytest.mark.parametrize("schema", list(ConfigSchema))
def test_objects_are_tried_before_the_schema_is_settled(schema: ConfigSchema) -> None:
    """The client's source is read later, and whatever it says, the API server takes."""
    spec = SPEC.model_copy(update={"config_schema": schema})
    found: dict[str, Any] = {one["kind"]: one for one in dry_run.manifests(spec, "owner")}
    assert "circuit" in found["ConfigMap"]["data"]["client"]
    assert found["Deployment"]["metadata"]["labels"]["stage"] == dry_run.UNKNOWN_STAGE
