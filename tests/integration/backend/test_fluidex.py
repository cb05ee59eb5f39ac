"""The bundled profile `fluidex` against a repository of the same layout and names: a table says what is due."""

import functools
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from domain.errors import SettingsInvalid, StepFailed
from domain.profile import StepState
from tests.support.backend.driver import Driver
from tests.support.backend.fluidex.stand_in import HERE, PORTS, Call, StandIn, kill
from tests.support.ports import listens

_TABLE: dict[str, Any] = yaml.safe_load((HERE / "table.yaml").read_text())
_ROWS: list[dict[str, Any]] = _TABLE["steps"]
_RUNS = {
    "dingir-exchange/target/debug/persistor",
    "dingir-exchange/target/debug/matchengine",
    "dingir-exchange/target/debug/restapi",
    "prover-cluster/target/release/coordinator",
    "prover-cluster/target/release/client",
    "rollup-state-manager/target/release/rollup_state_manager",
    "ganache-cli",
    "regnbue-bridge/target/release/faucet",
    "regnbue-bridge/target/release/block_submitter",
}

Drive = Callable[..., Driver]


def _until(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def _column(driver: Driver, stand_in: StandIn) -> tuple[dict[str, str], list[Call]]:
    """A column of the table, by doing it; and the calls."""
    stand_in.forget()
    containers = stand_in.containers("--no-trunc")
    came = driver.up(simulated=True)
    calls = stand_in.calls()
    left_out = {name for name, status in came.items() if status.detail == driver.loaded.left_out.get(name)}
    ran = {call.function for call in calls}
    kept = {"explorer"} if set(containers) >= set(stand_in.containers("--no-trunc")) else set()

    def cell(row: dict[str, Any]) -> str:
        status = came[row["step"]]
        if status.name in left_out:
            return "left out"
        if status.state is StepState.SKIPPED:
            return "skipped"
        return "kept" if row["step"] in kept or row.get("function", row["step"]) not in {*ran, row["step"]} else "ran"

    return {row["step"]: cell(row) for row in _ROWS}, calls


def _wanted(column: str) -> dict[str, str]:
    return {row["step"]: row[column] for row in _ROWS}


def _address(stand_in: StandIn) -> str:
    text = (stand_in.repo / "contracts/contract-deployed.env").read_text()
    return text.strip().removeprefix("export CONTRACT_ADDR=")


def test_the_table_speaks_of_every_step(drive: Drive) -> None:
    """One row a step in the profile's order; what is at another place than in the original says why, with its trap."""
    profile = drive().load().profile
    assert [row["step"] for row in _ROWS] == [step.name for step in profile.steps]
    assert {row["step"]: row.get("function", "") for row in _ROWS} == {
        step.name: step.function for step in profile.steps
    }
    ours = [row.get("at", row["function"]) for row in _ROWS if "function" in row and "deviation" not in row]
    theirs = [entry["function"] for entry in _TABLE["original"] if "elsewhere" not in entry]
    assert list(dict.fromkeys(ours)) == theirs
    odd = [row for row in _ROWS if "function" not in row or "deviation" in row]
    odd += [entry for entry in _TABLE["original"] if entry.keys() & {"elsewhere", "instead_of"}]
    assert all(row["trap"] in range(1, 15) for row in odd)
    assert all(row.get("deviation") or row.get("elsewhere") or row.get("instead_of") for row in odd)


def test_everything_is_needed_in_the_order_of_the_original(drive: Drive) -> None:
    """Of two functions the later one needs the earlier one, whatever lies between; only ticker and explorer do not."""
    steps = {step.name: step for step in drive().load().profile.steps}

    @functools.cache
    def before(name: str) -> frozenset[str]:
        needs = steps[name].needs
        return frozenset(needs).union(*(before(need) for need in needs))

    apart = {("submodules", "pull"), ("deploy-contracts", "restore-contracts"), ("ticker", "explorer")}
    apart |= {("exchange-db", "rollup-db"), ("exchange-db", "kafka"), ("rollup-db", "kafka")}
    names = [row["step"] for row in _ROWS]
    pairs = {(one, other) for index, one in enumerate(names) for other in names[index + 1 :]}
    assert {(one, other) for one, other in pairs if one not in before(other)} == apart


def test_first_and_again_and_with_another_circuit(drive: Drive, stand_in: StandIn) -> None:
    """Order, directory, environment and values as the table says; then only what changed is done once more."""
    driver = drive()
    first, calls = _column(driver, stand_in)
    assert first == _wanted("first")
    rows = {row["function"]: row for row in _ROWS if row.get("first") == "ran" and "function" in row}
    assert [call.function for call in calls] == list(rows)
    handed_on = {"CONTRACT_ADDR": _address(stand_in)}
    for call in calls:
        own = rows[call.function].get("env", {})
        wanted = {**_TABLE["environment"], **own, **{name: handed_on[name] for name in own if name in handed_on}}
        assert (call.function, call.cwd, call.env) == (call.function, str(stand_in.repo), wanted)
    runs = stand_in.processes()
    assert {name: len(pids) for name, pids in runs.items()} == dict.fromkeys({*_RUNS, "ts-node"}, 1)

    again, _ = _column(driver, stand_in)
    assert again == _wanted("again")
    assert stand_in.processes() == runs
    assert _address(stand_in) == handed_on["CONTRACT_ADDR"]

    key = (stand_in.keys / "vk.bin").read_text()
    stand_in.change_circuit()
    circuit, _ = _column(driver, stand_in)
    assert circuit == _wanted("circuit")
    assert (stand_in.keys / "vk.bin").read_text() != key
    changed = {name for name, pids in stand_in.processes().items() if pids != runs[name]}
    assert changed == {"prover-cluster/target/release/coordinator", "prover-cluster/target/release/client"}


def test_nothing_is_simulated_by_setup_all(drive: Drive, stand_in: StandIn) -> None:
    """No ticker; all else as with it, the explorer too."""
    drive().up()
    assert stand_in.processes().keys() == _RUNS
    assert [call.function for call in stand_in.calls()].count("run_ticker") == 0
    assert len(stand_in.containers()) == 8


def test_other_inputs_of_the_original(drive: Drive, stand_in: StandIn) -> None:
    """No local worker, a talkative node, no explorer, a pull; DIRTY, FORCE and DX_CLEAN of the worker reach nobody."""
    driver = drive(
        NO_LOCAL_WORKER="1",
        VERBOSE_GANACHE="true",
        EXPLORER="none",
        FLUIDEX_PULL="yes",
        DIRTY="true",
        FORCE="1",
        DX_CLEAN="TRUE",
    )
    assert driver.load().left_out.keys() == {"submodules", "prove-workers", "explorer", "restore-contracts"}
    driver.up()
    calls = {call.function: call for call in stand_in.calls()}
    assert "run_prove_workers" not in calls
    assert "CI" not in calls["handle_submodule"].env
    assert calls["run_eth_node"].env["VERBOSE_GANACHE"] == "TRUE"
    assert {call.function for call in calls.values() if call.env["DX_CLEAN"] == "TRUE"} == {"deploy_contracts"}
    assert not any("FORCE" in call.env or "NO_LOCAL_WORKER" in call.env for call in calls.values())
    assert len(stand_in.containers()) == 6


def test_sizes_of_which_run_sh_knows_nothing(drive: Drive, stand_in: StandIn) -> None:
    """Compared before the hours begin; with the same sizes on both sides it goes on."""
    tiny = {"NTXS": "2", "BALANCELEVELS": "3", "ORDERLEVELS": "4", "ACCOUNTLEVELS": "4"}
    driver = drive(**tiny)
    driver.run("submodules")
    with pytest.raises(StepFailed, match=r"run\.sh makes Block_2_5_10_5, but .* mean Block_2_3_4_4"):
        driver.run("sources")
    text = (stand_in.repo / "run.sh").read_text()
    (stand_in.repo / "run.sh").write_text(text.replace("envs/small", "envs/tiny"))
    assert driver.run("sources").state is StepState.DONE
    assert driver.run("prepare-circuit").state is StepState.DONE
    assert (stand_in.repo / "circuits/testdata/Block_2_3_4_4/vk.bin").exists()
    assert driver.load().profile.circuit_dir == "circuits/testdata/Block_2_3_4_4"


def test_failures_are_taken_up_where_they_were(drive: Drive, stand_in: StandIn) -> None:
    """What was done before a failure is not done again by the next try, which ends well."""
    driver = drive()
    for function in ("prepare_contracts", "run_core_docker_compose", "run_eth_node", "deploy_contracts", "run_faucet"):
        stand_in.fail_once(function)
        with pytest.raises(StepFailed, match="the network is unreachable"):
            driver.up()
    driver.up()
    called = [call.function for call in stand_in.calls()]
    once = ("prepare_circuit", "run_matchengine", "run_prove_master", "run_prove_workers", "run_rollup")
    assert {function: called.count(function) for function in once} == dict.fromkeys(once, 1)
    twice = ("prepare_contracts", "run_core_docker_compose", "run_eth_node", "deploy_contracts", "run_faucet")
    assert {function: called.count(function) for function in twice} == dict.fromkeys(twice, 2)
    assert {name: len(pids) for name, pids in stand_in.processes().items()} == dict.fromkeys(_RUNS, 1)


def test_a_killed_process_is_noticed_and_cured(drive: Drive, stand_in: StandIn) -> None:
    """Observed as it is, and the function called once more for it; with it everything else stays."""
    driver = drive()
    driver.up(simulated=True)
    before = stand_in.processes()
    assert set(driver.states().values()) == {StepState.RUNNING}
    victims = {
        "prove-master": "prover-cluster/target/release/coordinator",
        "eth-node": "ganache-cli",
        "faucet": "regnbue-bridge/target/release/faucet",
        "ticker": "ts-node",
    }
    stand_in.forget()
    for name in victims.values():
        kill(before[name])
    _until(
        lambda: {name for name, state in driver.states().items() if state is not StepState.RUNNING} == set(victims),
        "all noticed",
    )
    for name in victims:
        assert driver.run(name).state is StepState.RUNNING
    assert [call.function for call in stand_in.calls()] == [
        "run_prove_master",
        "run_eth_node",
        "run_faucet",
        "run_ticker",
    ]
    assert stand_in.calls()[2].env["CONTRACT_ADDR"] == _address(stand_in)
    after = stand_in.processes()
    assert {name for name in after if after[name] != before[name]} == set(victims.values())
    assert set(driver.states().values()) == {StepState.RUNNING}


def test_a_function_that_has_another_name(drive: Drive, stand_in: StandIn) -> None:
    """Named with the step that needs it before anything runs, as is a program that is not installed."""
    text = (stand_in.repo / "run.sh").read_text()
    (stand_in.repo / "run.sh").write_text(text.replace("run_core_docker_compose", "run_docker_compose"))
    (stand_in.tools / "snarkit2").unlink()
    with pytest.raises(SettingsInvalid) as caught:
        drive().up()
    said = str(caught.value)
    assert re.search(r"step compose .*run_core_docker_compose", said), said
    assert re.search(r"step prepare-circuit .*snarkit2", said), said
    assert stand_in.calls() == []


def test_stop_leaves_nothing_running_and_all_data(drive: Drive, stand_in: StandIn) -> None:
    """No process, container or port; the next run restores the contracts and keeps the keys."""
    driver = drive()
    driver.up(simulated=True)
    address, key = _address(stand_in), (stand_in.keys / "vk.bin").read_text()
    stopped = driver.stop()
    assert {"compose", "matchengine", "eth-node", "ticker", "explorer"} <= set(stopped)
    assert stand_in.processes() == {}
    assert stand_in.containers("--all") == []
    assert [port for port in PORTS.values() if listens(port)] == []
    assert (stand_in.repo / "orchestra/docker/volumes/rollup_db/data/used").exists()
    stand_in.forget()
    driver.up()
    called = [call.function for call in stand_in.calls()]
    assert "restore_contracts" in called
    assert not {"deploy_contracts", "prepare_circuit", "prepare_contracts"} & set(called)
    assert (_address(stand_in), (stand_in.keys / "vk.bin").read_text()) == (address, key)
    assert stand_in.processes().keys() == _RUNS


def test_a_chain_that_is_gone_gets_new_contracts(drive: Drive, stand_in: StandIn) -> None:
    """The old address is recorded in two places by then; faucet and submitter get the new one, and start anew."""
    driver = drive()
    driver.up()
    driver.up()
    address = _address(stand_in)
    driver.halt("eth-node")
    (stand_in.repo / "contracts/contracts/Verifier.sol").write_text("another verifier")
    shutil.rmtree(stand_in.repo / "contracts/ganache")
    stand_in.forget()
    driver.up()
    calls = {call.function: call for call in stand_in.calls()}
    assert calls.keys() >= {"run_eth_node", "deploy_contracts", "run_faucet", "run_block_submitter"}
    assert "restore_contracts" not in calls
    new = _address(stand_in)
    assert new != address
    assert [calls[function].env["CONTRACT_ADDR"] for function in ("run_faucet", "run_block_submitter")] == [new, new]


def test_purge_leaves_no_data_and_touches_no_neighbour(drive: Drive, stand_in: StandIn, tmp_path: Path) -> None:
    """Exactly what stop.sh deletes and the recorded address; keys stay, and another checkout with all it runs."""
    neighbour = tmp_path / "neighbour" / "regnbue-bridge" / "target" / "release" / "faucet"
    neighbour.parent.mkdir(parents=True)
    neighbour.write_bytes((stand_in.tools / "built/regnbue-bridge/target/release/faucet").read_bytes())
    neighbour.chmod(0o755)
    name = f"neighbour-{tmp_path.name}".lower().replace("_", "-")
    with subprocess.Popen([neighbour, "nowhere"], cwd=neighbour.parents[2]) as process:
        stand_in.docker("run", "--detach", "--name", name, stand_in.image, "nowhere")
        try:
            driver = drive()
            driver.up(simulated=True)
            address = _address(stand_in)
            driver.stop()
            purged = driver.purge()
            data = [
                "orchestra/docker/volumes",
                "regnbue-bridge/docker/data",
                "rollup-state-manager/circuits/testdata/persist",
                "contracts/ganache",
                "contracts/contract-deployed.env",
            ]
            assert [path for path in data if (stand_in.repo / path).exists()] == []
            assert {path for path in data if not any(path in one for one in purged)} == set()
            assert (stand_in.keys / "mon.key").exists()
            assert process.poll() is None
            assert stand_in.docker("inspect", "--format={{.State.Running}}", name).strip() == "true"
            stand_in.forget()
            driver.up()
            assert "deploy_contracts" in [call.function for call in stand_in.calls()]
            assert len(address) == len(_address(stand_in))
        finally:
            process.kill()
            stand_in.docker("rm", "--force", name)
