"""The systemd unit of a worker on a backend host."""

import configparser
import shlex

from sandbox.settings import REPOSITORY
from worker.settings import ROLES

UNIT = REPOSITORY / "worker/proverctl-worker.service"


def _service() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # systemd minds the case
    parser.read(UNIT)
    return parser["Service"]


def test_what_the_worker_started_outlives_it() -> None:
    """A stop ends the worker's process alone, and takes neither a shared folder nor the worker after a killed child."""
    service = _service()
    assert service["KillMode"] == "process"
    assert service["OOMPolicy"] == "continue"
    assert "PrivateTmp" not in service
    assert service["Restart"] == "always"


def test_it_runs_the_host_role_with_the_state_of_the_unit() -> None:
    """The command is our own, and the state directory is the one that systemd makes."""
    service = _service()
    program, *words = shlex.split(service["ExecStart"])
    assert (program.rpartition("/")[2], words) == ("proverctl", ["worker", "--roles", "host"])
    assert words[-1] in ROLES
    assert f"PROVER_STATE_DIR=/var/lib/{service['StateDirectory']} " in service["Environment"]


def test_its_installation_is_documented() -> None:
    """docs/operations.md names the unit and the file of its environment."""
    page = (REPOSITORY / "docs/operations.md").read_text()
    assert str(UNIT.relative_to(REPOSITORY)) in page
    assert _service()["EnvironmentFile"] in page
