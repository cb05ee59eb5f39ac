"""The circuit that clients prove: whose name wins, and what it is compared with."""

import pytest

from domain.messages.source import Source
from domain.spec import ClusterSpec, Endpoint, ImageTarget
from planning.manifests.circuit_name import circuit_names, settle, warnings


def _spec(circuit: str = "") -> ClusterSpec:
    return ClusterSpec(coordinator=Endpoint(ip="10.0.0.7"), image=ImageTarget(repository="p"), circuit=circuit)


@pytest.mark.parametrize(
    ("given", "profile", "settled"),
    [("", "", "block"), ("", "block_2", "block_2"), ("block_7", "block_2", "block_7"), ("block_7", "", "block_7")],
)
def test_the_setting_wins_over_the_profile(given: str, profile: str, settled: str) -> None:
    """Without either it is `block`."""
    source = Source(commit="", stage="s", circuit=profile)
    assert settle(_spec(given), source).circuit == settled


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("port: 1\ncircuits:\n  block_2:\n    vk: x\n  block_3: {}\n", ["block_2", "block_3"]),
        ("circuit:\n  name: block_2\n  r1cs: x\n", ["block_2"]),
        ("circuit: block_2\ncircuits: [{name: block_2}, block_4]\n", ["block_2", "block_4"]),
        ("circuit: 3\n", []),
        ("[a, b]", []),
        ("a: [", []),
        ("", []),
    ],
)
def test_names_in_a_configuration(text: str, names: list[str]) -> None:
    """The coordinator's keys and the client's name, in both schemas; anything else names none."""
    assert circuit_names(text) == names


def test_a_difference_is_a_warning_that_names_both() -> None:
    """Rendered configuration counts before the profile; one of several circuits is enough."""
    config = {"c.yaml": ["block_2", "block_3"]}
    assert warnings(_spec("block_3"), Source(commit="", stage="s", circuit="block_2", circuits=config)) == []
    found = warnings(_spec("block"), Source(commit="", stage="s", circuits=config))
    assert len(found) == 1
    assert found[0].startswith("clients prove CIRCUIT=block, but c.yaml has block_2 and block_3: ")
    assert "the backend profile has block_2" in warnings(_spec("b"), Source(commit="", stage="s", circuit="block_2"))[0]
    assert warnings(_spec(), Source(commit="", stage="s")) == []
