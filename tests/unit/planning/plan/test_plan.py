"""A plan says what a deploy would do to each object, and what the whole of it costs."""

import copy
from typing import Any

import pytest

from domain.diagnosis import Diagnosis
from domain.kubernetes import Manifest
from domain.messages.inspection import Action
from domain.messages.nodes import NodesReport, NodeVerdict
from domain.spec import ClusterSpec, ConfigSchema, Endpoint, ImageTarget
from domain.status import Release
from planning.manifests import client_config, render
from planning.plan import plan
from planning.plan.plan import DryRun
from tests.support.kubernetes import objects

OWNER = "temporal/default/prover-cluster/default/fleet"
IMAGE = f"pull:5000/prover:client-abc@sha256:{'a' * 64}"
SPEC = ClusterSpec(
    namespace="fleet",
    coordinator=Endpoint(ip="10.0.0.9"),
    image=ImageTarget(repository="prover", push_host="push:5000", pull_host="pull:5000"),
)


def rendered(spec: ClusterSpec = SPEC, stage: str = "abc", image: str = IMAGE) -> dict[str, Manifest]:
    """Return the manifests of one release by kind."""
    release = Release(stage=stage, image=image, replicas=spec.replicas)
    return {one["kind"]: one for one in render.render(spec, release, owner=OWNER, image_user="1", pull_secret=False)}


def deployment_trial(*, live_spec: ClusterSpec | None = SPEC, spec: ClusterSpec = SPEC, stage: str = "abc") -> DryRun:
    """Return a dry-run of another Deployment over one of SPEC."""
    wanted = rendered(spec, stage)["Deployment"]
    live = rendered(live_spec)["Deployment"] if live_spec else None
    return DryRun(wanted, live, copy.deepcopy(wanted))


def test_an_equal_object_is_the_same() -> None:
    """Nothing would be written."""
    assert plan.change(deployment_trial(), SPEC, OWNER).action is Action.SAME


def test_a_changed_object_says_what_changes() -> None:
    """By field."""
    found = plan.change(deployment_trial(spec=SPEC.model_copy(update={"replicas": 3})), SPEC, OWNER)
    assert (found.action, found.lines) == (
        Action.CHANGE,
        [
            "@@ spec @@",
            f"     prover-cluster/owner: {OWNER}",
            " spec:",
            "-  replicas: 2",
            "+  replicas: 3",
            "   selector:",
            "     matchLabels:",
        ],
    )


def test_a_new_object_is_shown_whole() -> None:
    """Only what we write, not what the server adds."""
    found = plan.change(deployment_trial(live_spec=None), SPEC, OWNER)
    assert found.action is Action.CREATE
    assert "+  replicas: 2" in found.lines


def test_a_refusal_is_a_line_and_shows_what_was_wanted() -> None:
    """The API server's words stand beside the difference."""
    refusal = Diagnosis(code="IMMUTABLE_FIELD", what="spec.selector cannot be changed", do="tear down")
    other = SPEC.model_copy(update={"deploy_name": "other"})
    trial = deployment_trial(spec=other)._replace(result=None, refusal=refusal)
    found = plan.change(trial, other, OWNER)
    assert found.action is Action.REFUSED
    assert "IMMUTABLE_FIELD" in found.note
    start = found.lines.index("@@ spec.selector.matchLabels @@")
    assert found.lines[start + 3 : start + 5] == ["-      app: client", "+      app: other"]


@pytest.mark.parametrize(
    ("mark", "said"),
    [("temporal/default/prover-cluster/default/another", "belongs to the deployment"), ("", "not made by proverctl")],
)
def test_what_is_not_ours_is_refused(mark: str, said: str) -> None:
    """As the deploy would, naming whose it is."""
    trial = deployment_trial()
    assert trial.live is not None
    trial.live["metadata"]["annotations"] = {"prover-cluster/owner": mark} if mark else {}
    trial.live["metadata"]["managedFields"] = [{"manager": "kubectl-create"}]
    found = plan.change(trial, SPEC, OWNER)
    assert found.action is Action.REFUSED
    assert said in found.note
    assert mark or "kubectl-create" in found.note


def test_another_address_family_is_a_replacement() -> None:
    """Nobody can change it, so the deploy deletes and makes anew."""
    six = SPEC.model_copy(update={"coordinator": Endpoint(ip="fd00::1")})
    found = plan.change(DryRun(rendered(six)["EndpointSlice"], rendered()["EndpointSlice"]), six, OWNER)
    assert found.action is Action.REPLACE
    assert "+addressType: IPv6" in found.lines


def test_what_may_not_be_read_is_unknown() -> None:
    """With the reason."""
    found = plan.change(DryRun(rendered()["Service"], note="may not", unread=True), SPEC, OWNER)
    assert (found.action, found.note, found.lines) == (Action.UNKNOWN, "may not", [])


def test_without_a_dry_run_only_our_fields_are_compared() -> None:
    """The defaults of the API server are no difference."""
    trial = deployment_trial()._replace(result=None, note="untried")
    assert trial.live is not None
    trial.live["spec"]["revisionHistoryLimit"] = 10
    found = plan.change(trial, SPEC, OWNER)
    assert (found.action, found.note) == (Action.SAME, "untried")


@pytest.mark.parametrize(
    ("stage", "image", "expected"),
    [
        ("abc", "pull:5000/prover:client-abc", IMAGE),
        ("new", "pull:5000/prover:client-new", "pull:5000/prover:client-new"),
        ("abc", "other:5000/prover:client-abc", "other:5000/prover:client-abc"),
    ],
)
def test_the_serving_image_is_taken_for_its_own_stage_only(stage: str, image: str, expected: str) -> None:
    """Its digest is then known before any build."""
    found = plan.reused(Release(stage=stage, image=image), rendered()["Deployment"])
    assert (found.image, found.image_user) == (expected, "1")


@pytest.mark.parametrize(
    ("schema", "lagrange", "expected"),
    [(ConfigSchema.FLAT, True, True), (ConfigSchema.FLAT, False, False), (ConfigSchema.STRUCT, False, True)],
)
def test_the_live_configuration_says_whether_there_is_a_lag_key(
    schema: ConfigSchema, lagrange: bool, expected: bool
) -> None:
    """Else a plan would show a change of the configuration that no deploy makes."""
    text = client_config.config_text(SPEC.model_copy(update={"config_schema": schema}), lagrange=lagrange)
    configuration = {"kind": "ConfigMap", "data": {"client": text}}
    assert plan.reused(Release(stage="abc"), None, configuration).lagrange == expected


def node(name: str, *images: str) -> Manifest:
    """Return a node that reports these images."""
    return {
        "metadata": {"name": name, "labels": {"fluidexnode": "computation"}},
        "status": {"images": [{"names": list(images)}] if images else []},
    }


def report(trial: DryRun, pods: list[Manifest], nodes: list[Manifest] | None) -> Any:
    """Return the plan of a Deployment on nodes that are all usable."""
    verdicts = [NodeVerdict(name=one["metadata"]["name"], usable=True) for one in nodes or []]
    judged = NodesReport(wanted=2, usable=len(verdicts), nodes=verdicts)
    return plan.report([], trial, pods, nodes, judged, SPEC, [])


HELD = f"pull:5000/prover@{IMAGE.partition('@')[2]}"


@pytest.mark.parametrize(
    ("changes", "stage", "nodes", "expected"),
    [
        ({}, "abc", [node("node-p1", HELD)], (0, 0, "No pod would be touched and no image pulled.")),
        (
            {},
            "new",
            [node("node-p1", "x"), node("node-p2", HELD)],
            (2, 1, "2 pods would be replaced, up to 1 node would pull the image."),
        ),
        (
            {"replicas": 3},
            "abc",
            [node("node-p1", HELD), node("node-3", HELD)],
            (0, 0, "1 pod would be added, no node would pull the image."),
        ),
        (
            {"replicas": 3},
            "abc",
            [node("node-p1"), node("node-3"), node("node-4")],
            (0, 1, "1 pod would be added, up to 1 node would pull the image."),
        ),
        ({"replicas": 1}, "abc", [node("node-p1")], (0, 0, "1 pod would be removed, no node would pull the image.")),
        (
            {},
            "new",
            None,
            (2, 0, "2 pods would be replaced, how many nodes would pull is unknown: nodes may not be read."),
        ),
    ],
)
def test_the_cost(
    changes: dict[str, Any], stage: str, nodes: list[Manifest] | None, expected: tuple[int, int, str]
) -> None:
    """Pods that restart, nodes that would pull, in one sentence."""
    trial = deployment_trial(spec=SPEC.model_copy(update=changes), stage=stage)
    found = report(trial, [objects.pod("p1"), objects.pod("p2")], nodes)
    assert (found.replaced, found.pulls, found.cost) == expected


def test_an_unknown_digest_is_said() -> None:
    """The image is not built for a plan."""
    wanted = rendered(image="pull:5000/prover:client-abc")["Deployment"]
    found = report(DryRun(wanted, None, wanted), [], [])
    assert found.warnings == [
        "The digest of pull:5000/prover:client-abc is known only after the push: the plan compares by tag."
    ]
