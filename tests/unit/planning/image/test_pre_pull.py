"""Which nodes pull before a rollout, by what kind of pod, and what its status says of the image."""

import base64
import json
from typing import Any

import pytest

from domain import names
from domain.kubernetes import Manifest, Snapshot
from domain.spec import ClusterSpec, Endpoint, ImageTarget
from domain.status import Release
from planning.image import pre_pull
from planning.image.pre_pull import NodePull
from planning.manifests import render
from tests.support.kubernetes import objects
from tests.support.kubernetes.objects import IMAGE, NOW, ago, event, unscheduled, waiting

TARGET = ImageTarget(repository="prover", pull_host="pull.example.com")
SPEC = ClusterSpec(namespace="fleet", coordinator=Endpoint(ip="10.0.0.9"), image=TARGET)
RELEASE = Release(stage="abc", image=IMAGE, replicas=2)
ID = "prover-cluster/default/fleet"
POD = pre_pull.pod(SPEC, f"t/{ID}", "pull-1", (IMAGE, "n1"), deployment=objects.deployment(), pull_secret=True)
MISSING = 'Failed to pull image "x": rpc error: code = NotFound desc = failed to pull and unpack image "x": not found'
DENIED = 'Failed to pull image "x": failed to authorize: 401 Unauthorized'
AWAY = 'Failed to pull image "x": dial tcp 10.0.0.1:5000: connect: connection refused'
FULL = 'Failed to pull image "x": write /var/lib/containerd/ingest/1/data: no space left on device'


def node(name: str, *, image: str = "", label: str = "computation", ready: str = "True", **spec: Any) -> Manifest:
    """A node for clients."""
    taint = {"key": "dedicated", "value": "computation", "effect": "NoSchedule"}
    images = [{"names": [f"pull.example.com/prover@{image.partition('@')[2]}"]}] if image else []
    return {
        "metadata": {"name": name, "labels": {"fluidexnode": label}},
        "spec": {"taints": [taint], **spec},
        "status": {
            "conditions": [{"type": "Ready", "status": ready}],
            "allocatable": {"cpu": "8", "memory": "16Gi"},
            "images": images,
        },
    }


def on(name: str, phase: str = "Running") -> Manifest:
    """A pod on a node."""
    return {"metadata": {"name": f"on-{name}"}, "spec": {"nodeName": name}, "status": {"phase": phase}}


def test_nodes_with_clients_pull_and_as_many_free_ones_as_the_rollout_goes_to_first() -> None:
    """An old client holds its node until it has ended: the first new one goes to a free node, where there is one."""
    nodes = [node("n1"), node("n2"), node("n3"), node("n4"), node("n5")]
    clients = [on("n1"), on("n2")]
    chosen = pre_pull.choose(nodes, clients, [*clients, on("n3")], SPEC, RELEASE)
    assert chosen == (["n1", "n2", "n4"], [], {})
    more = pre_pull.choose(nodes, clients, [*clients, on("n3")], SPEC, RELEASE.model_copy(update={"replicas": 3}))
    assert more.lacking == ["n1", "n2", "n4", "n5"]


def test_nodes_that_have_the_image_need_no_pod() -> None:
    """By its digest; another one of the same repository is another image."""
    chosen = pre_pull.choose(
        [node("n1", image=IMAGE), node("n2", image=objects.OLD_IMAGE)], [on("n1")], [], SPEC, RELEASE
    )
    assert (chosen.having, chosen.lacking) == (["n1"], ["n2"])


def test_nodes_to_which_no_client_may_come_are_left_out() -> None:
    """With the reason where one runs there now; without a word where none does."""
    nodes = [
        node("n1", unschedulable=True),
        node("n2", ready="False"),
        node("n3", label="other"),
        node("n4", ready="False"),
    ]
    chosen = pre_pull.choose(nodes, [on("n1"), on("n2"), on("n5"), on("n4", "Failed")], [], SPEC, RELEASE)
    assert (chosen.lacking, chosen.left_out) == ([], {"n1": "cordoned", "n2": "not ready"})


def test_a_free_node_that_is_too_small_does_not_pull() -> None:
    """No client of these requests could come to it."""
    spec = SPEC.model_copy(update={"client_memory": "32Gi"})
    assert pre_pull.choose([node("n1"), node("n2")], [on("n1")], [], spec, RELEASE).lacking == ["n1"]


def test_nobody_counts_the_pod_as_a_client() -> None:
    """Neither `app` nor role are a client's, whatever CLUSTER_DEPLOYNAME is."""
    labels = POD["metadata"]["labels"]
    assert (labels["app"], names.ROLE_LABEL in labels, "stage" in labels) == ("image-pull", False, False)
    assert pre_pull.app(SPEC.model_copy(update={"deploy_name": "image-pull"})) != "image-pull"
    assert POD["metadata"]["annotations"] == {names.OWNER_ANNOTATION: f"t/{ID}"}


def test_the_pod_goes_to_its_node_by_the_scheduler() -> None:
    """With the clients' toleration, whatever fills the node; no other node will do."""
    spec = POD["spec"]
    terms = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert terms == [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]
    assert spec["tolerations"] == [{"key": "dedicated", "operator": "Equal", "value": "computation"}]
    assert "nodeName" not in spec
    (container,) = spec["containers"]
    assert container["resources"] == {"requests": {"cpu": "0", "memory": "0"}}
    assert (container["image"], container["imagePullPolicy"]) == (IMAGE, "IfNotPresent")


def test_the_pod_ends_by_itself_and_goes_with_the_deployment() -> None:
    """Whoever forgets it."""
    assert (POD["spec"]["activeDeadlineSeconds"], POD["spec"]["terminationGracePeriodSeconds"]) == (3600, 0)
    (owner,) = POD["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], "controller" in owner, "blockOwnerDeletion" in owner) == (
        ("Deployment", "deployment", False, False)
    )


def test_credentials_only_where_there_are_some() -> None:
    """An anonymous registry has no Secret."""
    anonymous = pre_pull.pod(SPEC, "o", "n", (IMAGE, "n1"), deployment=objects.deployment(), pull_secret=False)
    assert "imagePullSecrets" not in anonymous["spec"]
    assert POD["spec"]["imagePullSecrets"] == [{"name": "img-cred"}]


def test_names_tell_pulls_apart_and_fit() -> None:
    """By deployment, image and node; the same again for the same."""
    image, other = IMAGE, objects.OLD_IMAGE
    found = [
        pre_pull.name(*key) for key in ((ID, image, "n1"), (ID, image, "n2"), (ID, other, "n1"), ("x", image, "n1"))
    ]
    assert len(set(found)) == 4
    assert found[0] == pre_pull.name(ID, image, "n1")
    assert all(name.startswith(names.DEPLOYMENT) and len(name) <= 63 for name in found)
    assert len(pre_pull.name(ID, "host/repo:tag", "n" * 253)) <= 63


def judged(pod: Manifest, *events: Manifest, deadline: float = 3600) -> pre_pull.Pull:
    """What a pod on node n1 says."""
    seen = pre_pull.evidence(Snapshot(now=NOW, pods=[pod], events=list(events)))
    return pre_pull.judge(pod, "n1", seen, deadline)


def ended(why: str, **status: Any) -> Manifest:
    """A pod whose container ended, or never began."""
    state = {"terminated": {"exitCode": 128, "reason": why}}
    return objects.pod(phase="Failed", conditions=[], containerStatuses=[{"name": "client", "state": state}], **status)


@pytest.mark.parametrize(
    "pod",
    [
        objects.pod(),
        ended("StartError"),
        ended("ContainerCannotRun"),
        ended("Error"),
        *(waiting(reason=reason) for reason in ("CreateContainerError", "RunContainerError", "StartError")),
        waiting(reason="CreateContainerConfigError", message="runAsNonRoot and image will run as root"),
    ],
)
def test_what_only_comes_after_the_pull_tells_that_the_image_is_there(pod: Manifest) -> None:
    """Whether its command exists, and whether the container may run, is no matter."""
    assert judged(pod).state is NodePull.PULLED


def test_an_event_tells_it_as_well_and_how_long_it_took() -> None:
    """Before the container is made."""
    pod = waiting()
    pulled = event(
        pod, "Pulled", 'Successfully pulled image "x" in 1m12.5s (1m13s including waiting). Image size: 7 bytes.'
    )
    assert judged(pod, pulled)[1:3] == (NodePull.PULLED, 72.5)
    assert judged(pod, event(pod, "Pulled", 'Container image "x" already present on machine'))[1:3] == (
        NodePull.PULLED,
        0.0,
    )


def test_a_pull_takes_the_time_it_takes() -> None:
    """Counted from the event, and no trouble."""
    pod = waiting(age=500)
    pulling = event(pod, "Pulling", 'Pulling image "x"') | {"firstTimestamp": ago(42)}
    assert judged(pod, pulling) == ("n1", NodePull.PULLING, 42.0, None)


@pytest.mark.parametrize(
    ("message", "count", "age", "state", "code"),
    [
        (MISSING, 1, 20, NodePull.PULLING, "IMAGE_NOT_FOUND"),
        (MISSING, 2, 20, NodePull.FAILED, "IMAGE_NOT_FOUND"),
        (DENIED, 1, 20, NodePull.PULLING, "IMAGE_AUTH"),
        (DENIED, 2, 20, NodePull.FAILED, "IMAGE_AUTH"),
        (AWAY, 9, 300, NodePull.PULLING, "IMAGE_REGISTRY_DOWN"),
        (AWAY, 9, 700, NodePull.STUCK, "IMAGE_REGISTRY_DOWN"),
        (FULL, 9, 700, NodePull.LEFT_OUT, "IMAGE_REGISTRY_DOWN"),
    ],
)
def test_failed_pulls_are_judged_as_those_of_clients_are(
    message: str, count: int, age: float, state: NodePull, code: str
) -> None:
    """A registry says no twice before it counts, may be away for ten minutes, and a full disk is the node's own."""
    pod = waiting(reason="ImagePullBackOff", message='Back-off pulling image "x"', age=age)
    failed = event(pod, "Failed", message, count) | {"firstTimestamp": ago(age)}
    found = judged(pod, failed)
    assert (found.state, found.trouble and found.trouble.code) == (state, code)


def test_a_name_that_is_none_is_hopeless_at_once() -> None:
    """No registry is asked."""
    found = judged(waiting(reason="InvalidImageName", message="couldn't parse image reference"))
    assert found.state is NodePull.FAILED


@pytest.mark.parametrize(
    ("pod", "words"),
    [
        (unscheduled(message="0/2 nodes are available: 2 Too many pods.", age=40), "SCHED_RESOURCES"),
        (ended("ContainerStatusUnknown", reason="DeadlineExceeded", message="Pod was active too long"), "DEADLINE"),
        (ended("ContainerStatusUnknown", reason="Evicted", message="low on resource: ephemeral-storage"), "EVICTED"),
        (objects.pod(phase="Failed", reason="OutOfpods", conditions=[], containerStatuses=[]), "OutOfpods"),
        (waiting(age=3700), "nothing was heard of its pull"),
    ],
)
def test_a_node_that_cannot_be_had_to_pull_is_left_out(pod: Manifest, words: str) -> None:
    """That says nothing against the image."""
    found = judged(pod)
    assert found.state is NodePull.LEFT_OUT
    assert words in str(found.trouble)


def test_a_pod_may_wait_for_its_node_a_while() -> None:
    """The scheduler is busy."""
    assert judged(unscheduled(message="0/2 nodes are available: 2 Too many pods.", age=5)).state is NodePull.PULLING


def test_credentials_for_other_hosts_stay_in_the_secret() -> None:
    """Clients that serve may have been pulled from there; those for the same host are the new ones."""
    old = render.pull_secret(SPEC, "me", "old", "o")
    elsewhere = SPEC.model_copy(update={"image": TARGET.model_copy(update={"pull_host": "other.example.com"})})
    both = pre_pull.beside_others(render.pull_secret(elsewhere, "me", "theirs", "o"), old)
    again = pre_pull.beside_others(render.pull_secret(SPEC, "me", "new", "o"), both)
    auths = json.loads(base64.b64decode(again["data"][".dockerconfigjson"]))["auths"]
    assert {host: auth["password"] for host, auth in auths.items()} == {
        "pull.example.com": "new",
        "other.example.com": "theirs",
    }


@pytest.mark.parametrize("data", [None, {}, {".dockerconfigjson": "bm9uc2Vuc2U="}, {".dockerconfigjson": "W10="}])
def test_a_secret_that_kubelet_could_not_read_either_has_nothing_to_keep(data: Manifest | None) -> None:
    """The new one is whole."""
    new = render.pull_secret(SPEC, "me", "new", "o")
    content = pre_pull.beside_others(new, {"data": data})["data"][".dockerconfigjson"]
    assert list(json.loads(base64.b64decode(content))["auths"]) == ["pull.example.com"]
