"""Nodes that pull before a rollout, over a fake cluster: what is made, what is removed, and whatever goes wrong."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from temporalio.exceptions import CancelledError

from activities.cluster.outage import OUTAGE
from activities.release.pre_pull import PrePull, PrePullActivities
from domain import names
from domain.errors import CredentialsRejected, Forbidden, ObjectRejected, ProverError, Unavailable, WrongCluster
from domain.images import PrePulled, PrePullRequest
from domain.kubernetes import Manifest
from domain.status import Release
from tests.support.kubernetes.activities import ID, NS, OWNER, FakeSecrets, make_spec
from tests.support.kubernetes.activities import Room as KubeRoom
from tests.support.kubernetes.objects import IMAGE
from tests.support.kubernetes.pre_pull import FAILED, LOGIN, PULLED, PULLING, Room


def test_each_node_pulls_once_and_nothing_is_left() -> None:
    """The clients are not touched."""
    room = Room(3)
    room.cluster.steps = [lambda: None]
    assert room.run().model_dump() == {"nodes": 3, "pulled": 3, "diagnosis": None, "warnings": []}
    assert (len(room.made), room.pods()) == (3, [])
    assert {write.partition("/")[0] for write in room.cluster.writes} == {"delete Pod"}


def test_of_hundreds_only_some_pull_at_once() -> None:
    """As one is done the next one begins."""
    room = Room(200)
    room.cluster.steps = [lambda: None] * 14
    assert room.run().pulled == 200
    assert (room.most, len(set(room.made))) == (16, 200)


def test_nodes_that_have_it_need_no_right_to_make_pods() -> None:
    """Nothing is made, nor a Secret written."""
    room = Room()
    for name in ("n000", "n001"):
        digest = IMAGE.partition("@")[2]
        room.spec = make_spec(image=make_spec().image.model_copy(update={"pull_host": "pull.example.com"}))
        room.cluster.objects["Node", "", name]["status"]["images"] = [{"names": [f"pull.example.com/prover@{digest}"]}]
    room.refusals = [Forbidden("may not create pods")]
    assert room.run(LOGIN).model_dump(exclude_defaults=True) == {"nodes": 2, "pulled": 2}
    assert room.cluster.writes == []


def test_without_a_deployment_nothing_is_to_be_replaced() -> None:
    """Somebody deleted it."""
    room = Room()
    room.cluster.drop("Deployment", names.DEPLOYMENT, NS)
    assert room.run() == PrePulled()


def test_an_image_that_no_node_gets_is_told_and_the_pods_go() -> None:
    """With the number of nodes that said so."""
    room = Room()
    room.end = FAILED
    room.cluster.steps = [lambda: None]
    found = room.run().diagnosis
    assert found is not None
    assert (found.code, found.on) == (
        "IMAGE_NOT_FOUND",
        "node n001 (2 of 2 nodes), pulled before any client is replaced",
    )
    assert room.pods() == []


def test_progress_is_told() -> None:
    """At each change."""
    room = Room()
    room.end = PULLING
    room.cluster.steps = [lambda: None, room.answer(PULLED)]
    room.run()
    assert room.beats == [
        "looking at the nodes",
        "image on 0 of 2 nodes; n000 pulls for 0 s, n001 pulls for 0 s",
        "image on 0 of 2 nodes; n000 pulls for 0 s, n001 pulls for 0 s",
    ]


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (Forbidden("w may not create pods"), "w may not create pods. Role rule: {apiGroups: [''], resources: [pods]"),
        (ObjectRejected("it does not admit it", code="PODSECURITY"), "PODSECURITY: it does not admit it"),
        (ObjectRejected("the quota is used up", code="QUOTA"), "QUOTA: the quota is used up"),
    ],
)
def test_who_may_not_make_pods_goes_on_without(refusal: ProverError, words: str) -> None:
    """One warning, and no further try."""
    room = Room()
    room.refusals = [refusal]
    found = room.run()
    assert (found.pulled, found.diagnosis, room.refusals, room.made) == (0, None, [], [])
    (warning,) = found.warnings
    assert warning.startswith(f"The image was not pulled beforehand on n000, n001: {words}")


def test_a_quota_with_room_for_some_is_used_by_all_in_turn() -> None:
    """The next pod is made once one has gone."""
    room = Room(3)
    room.end = PULLING
    quota = ObjectRejected("the quota is used up", code="QUOTA")
    create = room.create

    def limited(pod: Manifest, *, dry_run: bool) -> list[str]:
        room.refusals = [quota] if len(room.pods()) >= 1 else []
        return create(pod, dry_run=dry_run)

    room.create = limited  # type: ignore[method-assign]

    def settle() -> None:
        room.now += 2.0
        room.answer(PULLED)()

    room.cluster.steps = [settle] * 4
    assert room.run().model_dump(exclude_defaults=True) == {"nodes": 3, "pulled": 3}
    assert room.most == 1


def test_admission_that_is_down_is_waited_for_but_not_for_ever() -> None:
    """A webhook comes back, or the rollout goes on without."""
    down = Unavailable("the webhook does not answer", code="ADMISSION_DOWN")
    back = Room()
    back.refusals = [down, down]
    back.wait(times=4)
    assert back.run().pulled == 2
    away = Room()
    away.refusals = [down] * 100
    away.wait(10.0, times=10)
    (warning,) = away.run().warnings
    assert "ADMISSION_DOWN: the webhook does not answer" in warning
    assert away.now == OUTAGE


def test_the_pod_of_a_killed_run_goes_on() -> None:
    """It is neither made anew nor removed while it pulls."""
    room = Room()
    name = room.leftover("n000", PULLING)
    uid = room.cluster.objects["Pod", NS, name]["metadata"]["uid"]

    def end() -> None:
        assert room.cluster.objects["Pod", NS, name]["metadata"]["uid"] == uid
        room.answer(PULLED)()

    room.cluster.steps = [end]
    assert room.run().pulled == 2
    assert len(room.made) == 1


def test_what_failed_then_is_tried_afresh() -> None:
    """The registry, or the credentials, may have been mended since; pods for another image are of no use."""
    room = Room()
    failed, other = room.leftover("n000", FAILED), room.leftover("n001", PULLING, IMAGE.replace("a" * 64, "c" * 64))
    room.cluster.steps = [lambda: None]
    assert room.run().model_dump(exclude_defaults=True) == {"nodes": 2, "pulled": 2}
    assert failed in room.made
    assert other not in room.made


def test_pods_of_others_are_let_alone() -> None:
    """Whatever their label says."""
    room = Room()
    mark = {names.OWNER_ANNOTATION: "t/default/prover-cluster/default/other"}
    room.cluster.put("Pod", "client-of-another", NS, annotations=mark, labels={"app": "image-pull"}, spec={}, status={})
    room.cluster.steps = [lambda: None]
    room.run()
    assert ("Pod", NS, "client-of-another") in room.cluster.objects


def test_a_worker_that_stops_leaves_the_pulls_to_the_next() -> None:
    """Removing the pods would break them off."""
    room = Room()
    room.leftover("n000", PULLING)
    with pytest.raises(Unavailable, match="this worker stops while nodes pull an image"):
        room.run(stopping=True)
    assert len(room.pods()) == 2


def test_a_cancel_removes_the_pods_and_is_kept_away_meanwhile() -> None:
    """The shield is up while they go."""
    room = Room()
    room.end = PULLING
    shielded: list[tuple[str, int]] = []

    @contextmanager
    def shield() -> Iterator[None]:
        shielded.append(("up", len(room.pods())))
        yield
        shielded.append(("down", len(room.pods())))

    def cancel() -> None:
        raise CancelledError

    room.cluster.steps = [lambda: None, cancel]
    release = Release(stage="abc", image=IMAGE, replicas=1)
    request = PrePullRequest(spec=room.spec, release=release, deployment_id=ID, cluster_uid="uid-1@ca-1")
    pulling = PrePull(room.cluster, room, request, OWNER, room.beats.append)
    with pytest.raises(CancelledError):
        pulling.run(None, lambda: False, shield)
    assert shielded == [("up", 2), ("down", 0)]


def test_an_api_server_that_is_away_is_waited_for_but_not_for_ever() -> None:
    """Nodes pull without it; then the failure shows."""
    away = Unavailable("no answer", because="the API server restarts")
    room = Room()
    room.end = PULLING

    def lose() -> None:
        room.now += 40.0
        room.cluster.failing = [away, away]

    room.cluster.steps = [lambda: None, lose, room.answer(PULLED)]
    assert room.run().pulled == 2
    assert "waiting for the Kubernetes API: the API server restarts" in room.beats
    lost = Room()
    lost.end = PULLING

    def lose_for_good() -> None:
        lost.now += 40.0
        lost.cluster.failing = [away, away]

    lost.cluster.steps = [lambda: None, lose_for_good, lose_for_good, lose_for_good]
    with pytest.raises(Unavailable, match="no answer"):
        lost.run()


def test_another_cluster_is_not_written_to() -> None:
    """The fence comes before everything."""
    room = Room()
    with pytest.raises(WrongCluster):
        room.run(cluster_uid="uid-2@ca-2")
    assert (room.made, room.cluster.writes) == ([], [])


def test_pods_that_may_not_be_removed_are_told_of() -> None:
    """Once; they end by themselves, and go with the Deployment."""
    room = Room()
    room.cluster.forbidden = {("delete", "Pod")}
    room.cluster.steps = [lambda: None]
    found = room.run()
    assert found.pulled == 2
    (warning,) = found.warnings
    assert warning.startswith("Pods that pulled an image were left, and end by themselves: may not delete Pod.")


def test_credentials_that_the_api_server_refuses_are_no_reason_to_go_on() -> None:
    """The apply would meet the same."""
    room = Room()
    room.refusals = [CredentialsRejected("the token has expired", code="TOKEN_EXPIRED")]
    with pytest.raises(CredentialsRejected):
        room.run()


def test_the_activity_resolves_credentials_on_the_worker() -> None:
    """And marks what it makes as its own."""
    room = Room()
    room.cluster.steps = [lambda: None]
    activities = PrePullActivities({"default": room.cluster}, {"default": room}, FakeSecrets(), "temporal/default")
    release = Release(stage="abc", image=IMAGE, replicas=1)
    request = PrePullRequest(spec=room.spec, release=release, deployment_id=ID, cluster_uid="uid-1@ca-1")
    assert KubeRoom(room.cluster).run(activities.pre_pull, request).pulled == 2
