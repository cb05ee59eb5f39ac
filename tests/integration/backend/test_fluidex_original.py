"""The bundled profile `fluidex` on what is harsh in the original: its programs, its ports, its default address."""

import re
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from domain.errors import StepFailed
from domain.profile import StepState
from planning.backend.expansion import expand
from sandbox.settings import REPOSITORY
from tests.support.backend.driver import Driver
from tests.support.backend.fluidex.stand_in import PORTS, StandIn, kill

Drive = Callable[..., Driver]
_PROGRAMS = {"git", "npm", "npx", "yarn", "snarkit2", "plonkit", "docker-compose", "cpulimit", "cargo", "make", "awk"}
_PROGRAMS |= {"$ENVSUB"}


def _called(stand_in: StandIn, function: str) -> set[str]:
    """The programs of run.sh that a function calls, itself or through another one or the Makefile."""
    text = f"source ./run.sh > /dev/null 2>&1; declare -f {function}"
    env = {**stand_in.environ, "AS_RESOURCE": "yes"}
    done = subprocess.run(["bash", "-c", text], cwd=stand_in.repo, env=env, check=True, capture_output=True, text=True)
    body = done.stdout.replace("start_docker_compose", "docker-compose").replace("make startall", "make cargo")
    return {name for name in _PROGRAMS if re.search(rf"(?<![\w./-]){re.escape(name)}(?![\w-])", body)}


def test_every_program_of_a_function_is_declared_by_its_step(drive: Drive, stand_in: StandIn) -> None:
    """Also those that a function reaches through another one; so none is missed after hours."""
    steps = [step for step in drive().load().profile.steps if step.function]
    lacking = {step.name: _called(stand_in, step.function) - {"$ENVSUB", *step.programs} for step in steps}
    assert {name: found for name, found in lacking.items() if found} == {}
    filled = {step.name for step in steps if "$ENVSUB" in _called(stand_in, step.function)}
    assert filled == {step.name for step in steps if "${ENVSUB}" in step.programs} - {"prepare-circuit"}


def test_every_program_is_named_by_the_page(drive: Drive) -> None:
    """Step 1 of the tutorial is what an operator installs before the first command."""
    section = (REPOSITORY / "docs/fluidex.md").read_text().partition("### 1. Programs")[2].partition("### 2.")[0]
    declared = {name for step in drive().load().profile.steps for name in step.programs} - {"${ENVSUB}"}
    assert [name for name in sorted({*declared, "envsubst"}) if f"`{name}`" not in section] == []


def test_every_port_of_the_original_is_declared(drive: Drive) -> None:
    """Those of containers and of programs, so that a foreign holder is named before anything is started."""
    declared = {name for step in drive().load().profile.steps for name in step.ports}
    assert declared == {f"${{FLUIDEX_{name}}}" for name in PORTS}


def test_a_coordinator_on_loopback_is_named(drive: Drive, tmp_path: Path) -> None:
    """Without the address that the profile gives it nobody reaches it from another machine: the step says so."""
    text = yaml.safe_load((REPOSITORY / "profiles" / "fluidex.yaml").read_text())
    step = next(step for step in text["steps"] if step["name"] == "prove-master")
    del step["env"]
    step["timeout"] = 8
    profile = tmp_path / "loopback.yaml"
    profile.write_text(yaml.safe_dump(text))
    driver = drive(str(profile))
    driver.run("config-prover-cluster")
    with pytest.raises(StepFailed, match=r"open on the loopback address \[::1\] only"):
        driver.run("prove-master")


def test_the_coordinator_is_reached_by_every_client(world: dict[str, str], drive: Drive) -> None:
    """At the address of nodes, and at the one that the configuration of this host's client names."""
    driver = drive()
    driver.run("config-prover-cluster")
    driver.run("prove-master", timeout=60)
    for address in (world["COORDINATOR_EP"], "::1"):
        socket.create_connection((address, PORTS["COORDINATOR_PORT"]), timeout=3).close()


@pytest.mark.parametrize("name", ["persistor", "restapi"])
def test_what_the_exchange_starts_is_watched(drive: Drive, stand_in: StandIn, name: str) -> None:
    """The persistor writes the exchange's database: without it the step does not run, and is called once more."""
    driver = drive()
    driver.run("compose")
    driver.run("matchengine")
    kill(stand_in.processes()[f"dingir-exchange/target/debug/{name}"])
    deadline = time.monotonic() + 30
    while driver.states()["matchengine"] is StepState.RUNNING:
        assert time.monotonic() < deadline, f"the end of {name} is not noticed"
        time.sleep(0.1)
    assert driver.run("matchengine").state is StepState.RUNNING
    assert {f"dingir-exchange/target/debug/{one}" for one in ("persistor", "matchengine", "restapi")} == set(
        stand_in.processes()
    )


def test_the_explorer_is_optional_and_last(drive: Drive) -> None:
    """It builds its image from source, and no client needs it."""
    *others, explorer = drive().load().profile.steps
    assert (explorer.name, explorer.optional) == ("explorer", True)
    assert not any("explorer" in step.needs for step in others)


def test_the_repository_is_as_harsh_as_the_original(drive: Drive, stand_in: StandIn) -> None:
    """A set-up makes submodules dirty, traces its commands, and calls the circuit as the profile does."""
    driver = drive()
    driver.up()
    assert stand_in.git("status", "--porcelain").splitlines() == [" M regnbue-bridge", " M rollup-state-manager"]
    text = yaml.safe_load((stand_in.repo / "prover-cluster/config/coordinator.yaml").read_text())
    profile = yaml.safe_load((REPOSITORY / "profiles/fluidex.yaml").read_text())
    assert list(text["circuits"]) == [expand(profile["circuit"], {"NTXS": "2"})]
    log = (stand_in.repo.parent / "state/backend/fluidex/logs/prepare-circuit.log").read_text()
    assert "+ plonkit setup" in log
