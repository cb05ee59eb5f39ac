"""The runner of `make test`: checks, two worlds, then all tests in both worlds side by side, and a table of times.

The tests mostly wait, so two streams keep two cores busier than one. A world that has ended a stage takes the next one,
so the streams end together whatever the stages take. The output of a stage goes to a file and is printed in one piece
when the stage ends.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from planning.text.durations import duration

_PROGRESS_SECONDS = 60
_STOP_SECONDS = 90  # for the fixtures of an interrupted pytest, which stop workers and backends
_SLOWEST_TESTS = 5  # of each stage
_REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Stage:
    """A command with a name."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """How a stage ended; a negative code is the signal that ended it."""

    name: str
    code: int
    seconds: float


class Suite:
    """Stages that run, and those that ran."""

    def __init__(self, logs: Path, say: Callable[[str], None]) -> None:
        self.results: list[Result] = []
        self._logs = logs
        self._say = say
        self._lock = threading.Lock()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._started: dict[str, float] = {}
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        logs.mkdir(parents=True, exist_ok=True)

    @property
    def failed(self) -> bool:
        """Whether a stage failed or the run was interrupted."""
        return self._stopped.is_set() or any(result.code for result in self.results)

    def run(self, stages: Sequence[Stage], streams: Sequence[Mapping[str, str]] = ({},)) -> None:
        """Run all stages, as many at a time as there are streams; a stream is the variables that select its world."""
        pending = deque(stages)
        self._threads = [threading.Thread(target=self._run_stream, args=(pending, stream)) for stream in streams]
        for thread in self._threads:
            thread.start()
        reported = time.monotonic()
        while any(thread.is_alive() for thread in self._threads):
            time.sleep(0.1)
            if time.monotonic() - reported >= _PROGRESS_SECONDS:
                reported = time.monotonic()
                self._report_progress()

    def stop(self) -> None:
        """Start no further stage, interrupt those that run, and kill what does not end in time."""
        self._stopped.set()
        with self._lock:
            running = list(self._running.values())
        for process in running:
            _signal_group(process, signal.SIGINT)
        deadline = time.monotonic() + _STOP_SECONDS
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            _signal_group(process, signal.SIGKILL)  # a shell's background processes ignore SIGINT
        for thread in self._threads:
            thread.join()

    def _run_stream(self, pending: deque[Stage], stream: Mapping[str, str]) -> None:
        while not self._stopped.is_set():
            try:
                stage = pending.popleft()
            except IndexError:
                return
            self._run_stage(stage, stream)

    def _run_stage(self, stage: Stage, stream: Mapping[str, str]) -> None:
        log = self._logs / f"{stage.name}.log"
        start = time.monotonic()
        with log.open("wb") as output:
            with self._lock:
                if self._stopped.is_set():
                    return
                process = subprocess.Popen(
                    stage.command,
                    cwd=_REPOSITORY,
                    env={**os.environ, **stream},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                self._running[stage.name], self._started[stage.name] = process, start
            self._say(f"{stage.name}: started, output in {log}")
            code = process.wait()
        result = Result(stage.name, code, time.monotonic() - start)
        with self._lock:
            del self._running[stage.name]
            self.results.append(result)
            text = log.read_text(errors="replace").rstrip()
            self._say(f"--- {stage.name}: exit status {code} after {duration(result.seconds)}\n{text}\n---")

    def _report_progress(self) -> None:
        with self._lock:
            names = list(self._running)
        for name in names:
            lines = (self._logs / f"{name}.log").read_text(errors="replace").splitlines()
            last = next((line for line in reversed(lines) if line.strip()), "no output yet")
            self._say(f"{name}: {duration(time.monotonic() - self._started[name])}, {last[-100:]}")


def table(results: Sequence[Result]) -> str:
    """Return the time and the outcome of every stage, one a line."""
    return "\n".join(
        f"  {result.name:<24} {duration(result.seconds):>9}  {'failed' if result.code else 'passed'}"
        for result in results
    )


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _world(name: str, port_offset: int, subnet: str) -> dict[str, str]:
    return {"PROVER_WORLD": name, "PROVER_WORLD_PORT_OFFSET": str(port_offset), "PROVER_WORLD_SUBNET": subnet}


WORLDS = (_world("test", 300, "10.202.0.0/16"), _world("test2", 900, "10.204.0.0/16"))
"""Beside the world of `make up` and `make demo`, so that neither disturbs the other."""

# The longest first, so that no stream waits long for the other at the end; the short ones fill the gap.
DIRECTORIES = (
    "e2e",
    "integration/backend",
    "integration/kubernetes",
    "integration/image",
    "integration/diagnosis",
    "integration/cli",
    "integration/capacity",
    "integration/registry",
    "integration/world",
    "integration/git",
    "workflow",
    "unit",
    "replay",
)


def _tests(directory: str) -> Stage:
    options = ("-q", f"--durations={_SLOWEST_TESTS}")
    return Stage(directory.replace("/", "-"), (sys.executable, "-m", "pytest", *options, f"tests/{directory}"))


def _sandbox(action: str, world: Mapping[str, str]) -> Stage:
    return Stage(f"{action}-{world['PROVER_WORLD']}", (sys.executable, "-m", "sandbox", action))


def _run_all(suite: Suite) -> None:
    suite.run([Stage("checks", ("make", "--no-print-directory", "check"))])
    for action in ("down", "up"):  # an interrupted run may have left clients on the nodes
        for world in WORLDS:  # one after the other: they share iptables
            if not suite.failed:
                suite.run([_sandbox(action, world)], [world])
    if not suite.failed:
        suite.run([_tests(directory) for directory in DIRECTORIES], WORLDS)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the progress is the product


def main() -> int:
    """Run everything; return 0 when all stages passed, 1 when one failed, 130 after an interruption."""
    logs = _REPOSITORY / ".pytest_cache" / "suite"
    suite = Suite(logs, _say)

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    # SIGINT, too: a shell's background job ignores it, and so would every stage. A handler is not inherited.
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    start, interrupted = time.monotonic(), False
    try:
        _run_all(suite)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        interrupted = True
        suite.stop()
        for world in WORLDS:
            Suite(logs, _say).run([_sandbox("down", world)], [world])
    total = duration(time.monotonic() - start)
    _say(f"\nStage times, {total} in all:\n{table(suite.results)}")
    if interrupted:
        return 130
    return 1 if suite.failed else 0


if __name__ == "__main__":
    sys.exit(main())
