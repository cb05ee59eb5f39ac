"""The paths that a profile declares as data."""

from domain.profile import Profile
from planning.backend.data import data_paths


def test_everything_that_a_set_up_makes_is_data() -> None:
    """What is purged, put out, rendered or named; relative to the repository, with unknown values as any."""
    steps = [
        {"name": "a", "command": ["x"], "dir": "sub/${N}", "outputs": ["out/*.key", "${BACKEND_DATA}/x", "."]},
        {"name": "b", "command": ["x"], "purge": ["chains/${ADDRESS}/db", "${BACKEND_DATA}/db"]},
        {"name": "c", "file": {"text": "x", "to": "config/c.yaml"}, "dir": "app"},
        {"name": "d", "file": {"text": "x", "to": "${BACKEND_REPO}/d.yaml"}},
        {"name": "e", "command": ["x"], "outputs": ["."]},
    ]
    profile = Profile.model_validate({"name": "p", "purge": ["data/"], "data": ["logs/*.log"], "steps": steps})
    known = {"N": "2", "BACKEND_DATA": "/state/data", "BACKEND_REPO": "/repo"}
    assert data_paths(profile, known) == [
        "data",
        "logs/*.log",
        "sub/2/out/*.key",
        "sub/2",
        "chains/*/db",
        "app/config/c.yaml",
        "d.yaml",
    ]
