"""What a deploy of the clients needs of a profile is read whatever a set-up would lack on this host."""

from pathlib import Path

import pytest

from clients.backend.host import LocalBackendHost
from clients.backend.job import StepFiles
from clients.backend.profile import profile_facts
from clients.backend.records import Started, all_started, note
from domain.errors import SettingsInvalid
from domain.messages.backend import ProfileFacts
from domain.profile import Step
from domain.spec import Backend

_TEXT = """
name: demo
variables: {SIZE: "2"}
purge: ["docker/data-${SIZE}"]
steps:
- {name: a, command: [no-such-program], outputs: ["${BACKEND_DATA}/x", keys/a.key], dir: sub}
"""


def _facts(repo: Path, wanted: str = "") -> ProfileFacts:
    return profile_facts(repo, wanted, {}, {"PROVER_STATE_DIR": "/state"})


def test_programs_that_lack_do_not_matter(tmp_path: Path) -> None:
    """The paths of data come with variables filled in."""
    (tmp_path / "proverctl.yaml").write_text(_TEXT)
    assert _facts(tmp_path) == ProfileFacts(name="demo", data=["docker/data-2", "sub/keys/a.key"])


def test_the_data_of_the_fluidex_backend(tmp_path: Path) -> None:
    """The directory of the faucet's database, which its own repository does not ignore, and the keys among it."""
    data = _facts(tmp_path, "fluidex").data
    assert "regnbue-bridge/docker/data" in data
    assert "circuits/testdata/Block_2_5_10_5/mon.key" in data


def test_the_circuit_of_the_fluidex_backend(tmp_path: Path) -> None:
    """As its templates call it, by the size of the worker; and what its programs were configured for."""
    assert _facts(tmp_path, "fluidex").circuit == "block_2"
    assert profile_facts(tmp_path, "fluidex", {"NTXS": "4"}, {"CIRCUIT": "mine"}).circuit == "block_4"
    assert _facts(tmp_path, "fluidex").circuits == {}
    config = tmp_path / "prover-cluster" / "config"
    config.mkdir(parents=True)
    (config / "coordinator.yaml").write_text("port: 1\ncircuits:\n  block_8: {vk: x}\n")
    (config / "client.yaml").symlink_to("/etc/hostname")
    assert _facts(tmp_path, "fluidex").circuits == {"prover-cluster/config/coordinator.yaml": ["block_8"]}


def test_a_circuit_that_cannot_be_told(tmp_path: Path) -> None:
    """A variable that is not set matters only while CIRCUIT is not."""
    (tmp_path / "proverctl.yaml").write_text("name: demo\ncircuit: block_${SIZE}\nvariables: {SIZE: null}\n")
    with pytest.raises(SettingsInvalid, match=r"proverctl\.yaml: circuit .*SIZE.* set CIRCUIT"):
        _facts(tmp_path)
    assert profile_facts(tmp_path, "", {}, {"CIRCUIT": "mine"}).circuit == ""
    assert profile_facts(tmp_path, "", {"SIZE": "3"}, {}).circuit == "block_3"


def test_no_profile_is_no_fault(tmp_path: Path) -> None:
    """Nor is no repository; one that is asked for and cannot be read is."""
    assert _facts(tmp_path) == ProfileFacts()
    assert profile_facts(None, "", {}, {}) == ProfileFacts()
    assert profile_facts(None, "fluidex", {}, {}).name == "fluidex"
    with pytest.raises(SettingsInvalid, match=r"absent\.yaml: there is no file"):
        _facts(tmp_path, "absent.yaml")
    (tmp_path / "proverctl.yaml").write_text("name: 1.5: {")
    with pytest.raises(SettingsInvalid, match=r"proverctl\.yaml"):
        LocalBackendHost(tmp_path / "state", {}).facts(Backend(repo=str(tmp_path)), {})


def test_the_step_of_a_moment(tmp_path: Path) -> None:
    """The one that began last before it."""
    host, folder = LocalBackendHost(tmp_path, {}), tmp_path / "backend" / "demo"
    for name in ("first", "second"):
        step = Step(name=name, command=["true"])
        note(StepFiles(folder, name), Started(step=step, repo="/repo", directory="/repo", order=0))
    orders = [one.order for one in all_started(folder)]
    assert [host.step_at("demo", order) for order in orders] == ["first", "second"]
    assert host.step_at("demo", orders[1] + 10**9) == "second"
    assert (host.step_at("demo", orders[0] - 1), host.step_at("other", orders[1])) == ("", "")
