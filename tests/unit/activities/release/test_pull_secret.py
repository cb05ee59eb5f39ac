"""The Secret that nodes pull with before a rollout: current in time, and no loss to clients that serve."""

import base64
import json

from domain import names
from tests.support.kubernetes.activities import NS, OWNER
from tests.support.kubernetes.pre_pull import LOGIN, Room


def auths(room: Room) -> dict[str, str]:
    """Passwords by host, as the Secret has them."""
    secret = room.cluster.objects["Secret", NS, names.PULL_SECRET]
    found = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))["auths"]
    return {host: entry["password"] for host, entry in found.items()}


def put_secret(room: Room, owner: str, **hosts: str) -> None:
    """The one that serves."""
    content = json.dumps({"auths": {host.replace("_", "."): {"password": word} for host, word in hosts.items()}})
    data = {".dockerconfigjson": base64.b64encode(content.encode()).decode()}
    room.cluster.put("Secret", names.PULL_SECRET, NS, annotations={names.OWNER_ANNOTATION: owner}, data=data)


def test_the_secret_is_current_before_anything_pulls() -> None:
    """With what clients that serve may need of it."""
    room = Room()
    put_secret(room, OWNER, old_host="theirs")
    room.cluster.steps = [lambda: None]
    room.run(LOGIN)
    assert auths(room) == {"old.host": "theirs", "registry:5000": "hunter2"}
    assert room.cluster.writes[0] == "apply Secret/img-cred"
    assert "hunter2" not in " ".join(room.beats)


def test_the_secret_of_somebody_else_is_not_written() -> None:
    """What is wrong with that the apply says."""
    room = Room()
    put_secret(room, "another", old_host="theirs")
    room.cluster.steps = [lambda: None]
    room.run(LOGIN)
    assert auths(room) == {"old.host": "theirs"}


def denied(room: Room) -> None:
    """The registry says no to each node, twice."""
    room.end = {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}]}

    def say() -> None:
        for name in room.pods():
            uid = room.cluster.objects["Pod", NS, name]["metadata"]["uid"]
            message = 'Failed to pull image "x": 401 Unauthorized'
            room.cluster.put(
                "Event", f"e-{name}", NS, involvedObject={"uid": uid}, reason="Failed", message=message, count=2
            )

    room.cluster.steps = [say]


def test_credentials_that_the_registry_refused_are_taken_back() -> None:
    """Clients that serve go on with those that they had, and the diagnosis says which were refused."""
    room = Room()
    put_secret(room, OWNER, old_host="theirs")
    denied(room)
    found = room.run(LOGIN).diagnosis
    assert found is not None
    assert found.code == "IMAGE_AUTH"
    assert auths(room) == {"old.host": "theirs"}


def test_a_secret_that_was_not_there_is_not_left() -> None:
    """Where clients that serve need none."""
    room = Room()
    denied(room)
    found = room.run(LOGIN).diagnosis
    assert found is not None
    assert "has credentials for registry:5000" in found.because
    assert ("Secret", NS, names.PULL_SECRET) not in room.cluster.objects
