"""The runner of `make test`, with small commands for stages."""

import threading
import time
from pathlib import Path

import psutil

from tests.suite import DIRECTORIES, WORLDS, Stage, Suite, table


def _shell(name: str, script: str) -> Stage:
    return Stage(name, ("sh", "-c", script))


def test_streams_run_side_by_side(tmp_path: Path) -> None:
    """Each of two stages waits for a file of the other: only together can they end."""
    said: list[str] = []
    suite = Suite(tmp_path, said.append)
    wait = "touch {0}/{1}.here; until [ -e {0}/{2}.here ]; do sleep 0.05; done"
    suite.run([_shell("a", wait.format(tmp_path, "a", "b")), _shell("b", wait.format(tmp_path, "b", "a"))], [{}, {}])

    assert (suite.failed, sorted(result.name for result in suite.results)) == (False, ["a", "b"])


def test_a_failed_stage_fails_the_suite_and_ends_no_stream(tmp_path: Path) -> None:
    """Later stages run, the output of each is printed in one piece, and the table names the failed one."""
    said: list[str] = []
    suite = Suite(tmp_path, said.append)
    suite.run([_shell("first", "echo one; echo two; exit 3"), _shell("second", "true")])

    assert suite.failed
    assert [(result.name, result.code) for result in suite.results] == [("first", 3), ("second", 0)]
    assert any("exit status 3" in text and "one\ntwo" in text for text in said)
    assert [line.split()[-1] for line in table(suite.results).splitlines()] == ["failed", "passed"]


def test_an_interrupted_suite_leaves_no_process(tmp_path: Path) -> None:
    """The stage and its children end, the next stage does not start, and the suite counts as failed."""
    suite = Suite(tmp_path, lambda _: None)
    script = f"sleep 300 & echo $! > {tmp_path}/child.new; mv {tmp_path}/child.new {tmp_path}/child; wait"
    thread = threading.Thread(target=suite.run, args=([_shell("long", script), _shell("next", "true")],))
    thread.start()
    while not (tmp_path / "child").exists():
        time.sleep(0.05)
    child = int((tmp_path / "child").read_text())
    suite.stop()
    thread.join(timeout=30)

    assert not thread.is_alive()
    assert suite.failed
    assert [result.name for result in suite.results] == ["long"]
    deadline = time.monotonic() + 10
    while _lives(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _lives(child)


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_stage_sees_the_world_of_its_stream(tmp_path: Path) -> None:
    """The variables of a stream reach the command."""
    suite = Suite(tmp_path, lambda _: None)
    suite.run([_shell("stage", f'echo "$PROVER_WORLD" > {tmp_path}/seen')], [{"PROVER_WORLD": "test2"}])

    assert (tmp_path / "seen").read_text() == "test2\n"


def test_the_stages_hold_every_test_file_once() -> None:
    """Nothing is dropped, nothing runs twice, and the worlds share no name, port or subnet."""
    for file in Path("tests").rglob("test_*.py"):
        assert [name for name in DIRECTORIES if file.is_relative_to(f"tests/{name}")], file
    assert len(set(DIRECTORIES)) == len(DIRECTORIES)
    for name in WORLDS[0]:
        assert len({world[name] for world in WORLDS}) == len(WORLDS)
