"""How the steps that stay stand now: a quick look at processes and containers, from the records."""

import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from clients.backend.job import Job, StepFiles
from clients.backend.logs import last_line
from clients.backend.processes import runner
from clients.backend.processes.supervisor import ORPHAN, ProcessReport
from clients.backend.records import Started
from clients.backend.steps import compose
from clients.backend.steps.background import Seen, look
from domain.profile import StepState, StepStatus
from planning.text.durations import duration
from planning.text.sanitize import one_line

_LOOP_STARTS, _LOOP_SECONDS, _STEADY_SECONDS = 3, 60, 10  # so many starts in this time, and not steady since


def observed(
    started: Started, place: StepFiles, report: ProcessReport | None, table: list[Seen], env: Mapping[str, str]
) -> StepStatus:
    """Return the state of a step that stays; `report` is the supervisor's, `table` all processes of the host."""
    if started.stopped:
        state, detail, seconds = StepState.STOPPED, "stopped", 0.0
    elif started.step.process:
        state, detail, seconds = _process(place, report)
    else:
        state, detail, seconds = _left(started, place, table, env)
    return StepStatus(name=place.name, kind=started.step.kind, state=state, detail=detail, seconds=seconds)


def _process(place: StepFiles, report: ProcessReport | None) -> tuple[StepState, str, float]:
    if report is None:  # a reboot, or both were killed: unlike a process given up, it is worth another start
        return StepState.STOPPED, "it does not run, nor does its supervisor", 0.0
    recent = [began for began in report.began if began > time.time() - _LOOP_SECONDS]
    looping = len(recent) >= _LOOP_STARTS and report.seconds < _STEADY_SECONDS
    if report.state == "BACKOFF" or looping:
        return _failed(place, f"crash loop: started {len(recent)} times in {_LOOP_SECONDS} s, exit {report.exit}")
    if report.state in {"RUNNING", "STARTING"}:
        return StepState.RUNNING, f"pid {report.pid}, up {duration(report.seconds, units=1)}", float(report.seconds)
    if report.state == ORPHAN:
        return _failed(place, f"pid {report.pid} runs, but nobody would restart it: its supervisor is gone")
    if report.state == "FATAL":
        return _failed(place, f"given up after several starts, exit {report.exit}")
    return _failed(place, f"exited with {report.exit}" if report.state == "EXITED" else report.state.lower())


def _left(
    started: Started, place: StepFiles, table: list[Seen], env: Mapping[str, str]
) -> tuple[StepState, str, float]:
    project = started.step.compose
    if project is not None:
        at = Path(started.directory)
        up, why = compose.state(project, at, env)
        if up or compose.rising(project, at, env):
            return StepState.RUNNING if up else StepState.WORKING, why, 0.0
        return _failed(place, why)
    if "code" not in (runner.read(place.record) or {"code": 0}):
        return StepState.WORKING, last_line(place.log), 0.0
    found = look(Job(place, started.step, Path(started.repo), Path(started.directory), env, {}), table)
    if found.lacking and found.lacking == found.rising:
        return StepState.WORKING, ", ".join(found.rising), 0.0
    if found.lacking:
        return _failed(place, f"{', '.join(found.lacking)} does not run")
    seconds = max((_age(pid) for pid in found.pids), default=0.0)
    pids = f"pid {', '.join(map(str, found.pids))}, up {duration(seconds, units=1)}" if found.pids else "up"
    return StepState.RUNNING, pids, seconds


def _failed(place: StepFiles, why: str) -> tuple[StepState, str, float]:
    said = last_line(place.log)
    return StepState.FAILED, one_line(f"{why}; last line: {said}" if said else why), 0.0


def _age(pid: int) -> float:
    try:
        return max(0.0, round(time.time() - psutil.Process(pid).create_time(), 1))
    except psutil.Error:
        return 0.0
