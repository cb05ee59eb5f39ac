"""Function steps: a function of a bash file in a shell of its own, and the processes that it leaves behind."""

import functools
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clients.backend.job import Job
from clients.backend.log_search import mark as mark_logs
from clients.backend.logs import tail
from clients.backend.polling import PollingInterval
from clients.backend.ports import check_free, silent
from clients.backend.processes import runner
from clients.backend.steps.background import BackgroundStatus, look, name, record, remains, sweep
from clients.backend.steps.command import StepCommand
from clients.backend.steps.compose import check_left, restarts
from clients.backend.steps.wait import await_condition
from clients.backend.values import found_values
from domain.errors import StepFailed
from domain.ports import Beat
from domain.profile import StepState, StepStatus, Wait
from planning.backend.steps import Ran

_ALONE_SECONDS = 3.0  # with nothing of the step alive, nobody is left who could start what is missing
_SCRIPT = r"""
__pc_file=$1 __pc_function=$2 __pc_values=$3
shift 3
__pc_names=("$@")
set --
__pc_hand_on() {
  set +eu
  for __pc_name in "${__pc_names[@]}"; do
    [[ -v $__pc_name ]] && printf %s "${!__pc_name}" > "$__pc_values/$__pc_name"
  done
  if [[ -z ${__pc_called-} ]]; then
    echo "proverctl: $__pc_file exited with $__pc_code before $__pc_function could be called" >&2
    exit $((__pc_code ? __pc_code : 1))
  fi
}
trap '{ __pc_code=$?; set +x; } 2> /dev/null; __pc_hand_on' EXIT
source "$__pc_file"
{ __pc_traced=$-; set +x; } 2> /dev/null  # what is ours does not belong into the log
if ! declare -F -- "$__pc_function" > /dev/null; then
  echo "proverctl: $__pc_file has no function $__pc_function" >&2
  __pc_called=no
  exit 127
fi
__pc_called=yes
[[ $__pc_traced != *x* ]] || set -x
"$__pc_function"
{ __pc_code=$?; set +x; } 2> /dev/null
__pc_hand_on  # the file may have set a trap of its own
exit $__pc_code
"""


def function_argv(job: Job, file: str, function: str) -> list[str]:
    """Source the file, call the function, write the variables that are handed on; exits as the function does."""
    names = [value.variable for value in job.step.values.values() if value.variable]
    path = str(job.repo / file)
    return ["bash", "-c", _SCRIPT, "proverctl", path, function, str(job.place.handed), *names]


def prepare_values(job: Job) -> None:
    """Create an empty folder for the variables that the function hands on."""
    shutil.rmtree(job.place.handed, ignore_errors=True)
    job.place.handed.mkdir(parents=True, mode=0o700)


def run_function(job: Job, file: str, beat: Beat, *, again: bool) -> StepStatus:
    """Call the function and await what it leaves, unless that runs already; StepFailed."""
    handed = [value.variable for value in job.step.values.values() if value.variable]
    # Not our own script: a newer version of it is no reason to spend hours again.
    command = StepCommand(job, function_argv(job, file, job.step.function), [file, job.step.function, *handed])
    if not job.step.leaves:
        done = command.run(beat, again=again, first=lambda: _prepare(job, beat))
        if job.step.ready:
            _await_ready(job, job.step.ready, time.monotonic(), beat)
        return done
    fingerprint = command.mark(beat)
    if not again and not command.pending and (status := _running_already(job, fingerprint, beat)):
        return status

    # Of containers that are there; those that the function is yet to make begin with none.
    before = restarts(job.step, job.env) if command.pending else {}

    def first() -> None:
        sweep(job.place, job.step, job.repo, beat)
        _prepare(job, beat)
        before.update(restarts(job.step, job.env))

    ended = command.finish(fingerprint, beat, first)
    try:
        found = _await_left(job, float(ended["ended"]) - float(ended["seconds"]), beat, before)
    except StepFailed:
        command.give_up(ended)
        raise
    status = command.conclude(fingerprint, ended, _told(found))
    seconds = round(time.monotonic() - float(ended["ended"]) + float(ended["seconds"]), 3)
    return status.model_copy(update={"state": StepState.RUNNING, "seconds": seconds})


def _prepare(job: Job, beat: Beat) -> None:
    check_free(job, (), beat)
    prepare_values(job)
    if job.step.ready:
        mark_logs(job, job.step.ready)


def _running_already(job: Job, fingerprint: str, beat: Beat) -> StepStatus | None:
    """Return the status when all that the function leaves runs unchanged; else None."""
    found = look(job)
    ran: dict[str, Any] | None = runner.read(job.place.ran)
    if found.lacking != found.rising or (ran and ran["fingerprint"] != fingerprint):
        return None
    adopted = found.adopted
    _await_left(job, time.monotonic(), beat, restarts(job.step, job.env))
    if ran is None:
        values = found_values(job)
        runner.write(job.place.ran, Ran(fingerprint=fingerprint, values=values).model_dump())
    detail = _adopted(adopted) if adopted else "running already"
    return StepStatus(name=job.step.name, kind=job.step.kind, state=StepState.RUNNING, detail=detail)


def _await_left(job: Job, began: float, beat: Beat, before: Mapping[str, int]) -> BackgroundStatus:
    """Return once all that it leaves runs, listens and is ready, within the step's timeout; StepFailed."""
    pace, alive = PollingInterval(beat, 0.1), time.monotonic()
    seen, strangers = set[str](), dict[int, None]()
    while True:
        found = look(job)
        strangers.update(dict.fromkeys(found.adopted))  # once recorded they count as known
        record(job.place, found)
        seen.update(name(left) for left in job.step.leaves if left.program and name(left) not in found.lacking)
        mute = [] if found.lacking else silent(job)
        lacking = found.lacking or mute
        if not lacking:
            break
        check_left(job, before)
        now = time.monotonic()
        ended = seen.intersection(lacking)
        if not ended and (found.ours or found.pids or any(left.compose for left in job.step.leaves)):
            alive = now
        if now - alive > _ALONE_SECONDS:
            because = "it ran and ended" if ended else "nothing that the function started is alive"
            raise _failure(job, sorted(ended) or lacking, because)
        if now - began > job.step.timeout:
            late = f"it is not there after {job.step.timeout} s"
            raise _failure(job, lacking, f"{late}; {_strange(strangers, mute)}" if _strange(strangers, mute) else late)
        told = _strange(strangers, mute) or f"waits for {', '.join(lacking)}"
        pace.rest(functools.partial(str, f"{job.step.name}: {told}"))
    check_free(job, {int(who["pid"]) for who in remains(job.place, job.step, job.repo)}, beat)
    if job.step.ready:
        _await_ready(job, job.step.ready, began, beat)
    return found


def _adopted(pids: Sequence[int]) -> str:
    several = f"processes {', '.join(map(str, pids))} that were" if len(pids) > 1 else f"process {pids[0]} that was"
    return f"adopted {several} started by somebody else"


def _strange(strangers: Iterable[int], mute: Sequence[str]) -> str:
    """Of adopted processes that do not listen where they should: perhaps they were started with another port."""
    pids = [pid for pid in strangers if mute]
    return f"{_adopted(pids)}, nobody listens on {', '.join(mute)}" if pids else ""


def _await_ready(job: Job, ready: Wait, began: float, beat: Beat) -> None:
    def watching(text: str) -> None:
        if (found := look(job)).lacking != found.rising:
            lacking = found.lacking
            raise _failure(job, lacking, "it ran and ended before it was ready")
        beat(text)

    left = max(1, round(job.step.timeout - (time.monotonic() - began)))
    shorter = job._replace(step=job.step.model_copy(update={"timeout": left}))
    await_condition(shorter, ready, watching, lambda: tail(job.place.log))


def _failure(job: Job, lacking: list[str], because: str) -> StepFailed:
    return StepFailed(
        f"step {job.step.name}: function {job.step.function} returned, but {', '.join(lacking)} does not run",
        on=str(job.repo),
        because=because,
        evidence=tail(job.place.log),
        do=f"read {job.place.log} and the program's own log, mend the cause and run the command again",
    )


def _told(found: BackgroundStatus) -> str:
    return f"pid {', '.join(map(str, found.pids))}" if found.pids else ""
