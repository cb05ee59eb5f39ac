"""The example backend as its users run it: real processes, a real database, real proofs."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest

from clients.system.tcp import reach
from domain.kubernetes import Snapshot
from planning.diagnosis import findings
from sandbox.settings import REPOSITORY
from tests.support.kubernetes import objects
from tests.support.ports import free_port, listens

EXAMPLE = REPOSITORY / "examples" / "prover"
BINARIES = EXAMPLE / "build" / "bin"
CONFIG = """
prover_id: configured
upstream: http://127.0.0.1:1
poll_interval: 100
circuit: block
r1cs: {circuit}/circuit.r1cs
srs_monomial_form: {circuit}/mon.key
srs_lagrange_form: {circuit}/lag.key
vk: {circuit}/vk.bin
"""


def eventually(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    """Wait for a condition, never longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


@contextmanager
def running(log: Path, *command: str | Path, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program with its output in `log`; kill it in the end."""
    with log.open("ab") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=os.environ | (env or {}))
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@dataclass(frozen=True)
class Backend:
    """Where everything of one backend is."""

    home: Path
    circuit: Path
    database_port: int
    coordinator_port: int

    @property
    def database(self) -> dict[str, str]:
        """The environment of programs that need the database."""
        url = f"postgres://prover@127.0.0.1:{self.database_port}/prover"
        return {"DATABASE_URL": url, "PGPASSFILE": str(self.home / "database/pgpass")}

    @property
    def log(self) -> Path:
        """The coordinator's log."""
        return self.home / f"coordinator-{self.coordinator_port}.log"

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """Open a connection to the database."""
        settings = self.database
        return psycopg.connect(settings["DATABASE_URL"], passfile=settings["PGPASSFILE"], autocommit=True)

    def rows(self, query: str) -> list[tuple[object, ...]]:
        """Ask the database."""
        with self.connect() as connection:
            return connection.execute(query.encode()).fetchall()

    def coordinator(self) -> list[str | Path]:
        """Command line of the coordinator."""
        listen = f"127.0.0.1:{self.coordinator_port}"
        key = self.circuit / "vk.bin"
        return [BINARIES / "coordinator", "--listen", listen, "--verifying-key", key, "--database-wait", "20s"]

    def client(self, **changes: str) -> dict[str, str]:
        """Environment of a client of this backend."""
        upstream = f"http://127.0.0.1:{self.coordinator_port}"
        config = {"CLIENT_CONFIG": str(self.home / "client.yaml"), "CLIENT_UPSTREAM": upstream, "RUST_LOG": "info"}
        return config | changes

    def count(self, pattern: str) -> int:
        """How many lines of the coordinator's log match."""
        return len(re.findall(pattern, self.log.read_text()))


def add_tasks(backend: Backend, count: int) -> None:
    """Let the ticker fill the table to `count` unproved tasks, then end it."""
    flags = ["--tasks", str(count), "--max-pending", str(count), "--interval", "1h"]
    with running(backend.home / "ticker.log", BINARIES / "ticker", *flags, env=backend.database) as process:
        query = "SELECT 1 FROM task WHERE status <> 'proved'"
        eventually(lambda: len(backend.rows(query)) >= count, f"{count} tasks")
        process.terminate()
        assert process.wait(10) == 0


@pytest.fixture(scope="session")
def binaries() -> Path:
    """The programs of the example, built from source."""
    subprocess.run(["make", "build"], cwd=EXAMPLE, check=True, capture_output=True)
    return BINARIES


@pytest.fixture(scope="session")
def database(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """A circuit directory and a running database with the table in it."""
    home = tmp_path_factory.mktemp("example")
    backend = Backend(home, home / "circuit", free_port(), free_port())
    subprocess.run([binaries / "setup", "--out", backend.circuit], check=True, capture_output=True)
    (home / "client.yaml").write_text(CONFIG.format(circuit=backend.circuit))
    with running(home / "database.log", *database_command(backend)):
        eventually(lambda: listens(backend.database_port), "the database listens", 60)
        yield backend


def database_command(backend: Backend) -> list[str | Path]:
    """Command line of the database."""
    home, port = backend.home / "database", str(backend.database_port)
    return [sys.executable, EXAMPLE / "database.py", "--home", home, "--port", port]


@pytest.fixture
def backend(database: Backend) -> Iterator[Backend]:
    """A running coordinator with an empty table and a log of its own."""
    mine = replace(database, coordinator_port=free_port())
    with running(mine.log, *mine.coordinator(), env=mine.database):
        eventually(lambda: listens(mine.coordinator_port), "the coordinator listens")
        mine.connect().execute("TRUNCATE task").connection.close()
        yield mine


def test_client_proves_what_the_ticker_enqueues(backend: Backend) -> None:
    """Every task ends as proved, with proof and public input, under the id cut to 30 characters."""
    add_tasks(backend, 2)
    log = backend.home / "proving-client.log"
    with running(log, BINARIES / "client", env=backend.client()):
        eventually(lambda: backend.rows("SELECT 1 FROM task WHERE status <> 'proved'") == [], "all proved", 60)
        eventually(lambda: backend.count("poll .*result=none") >= 2, "polls of the idle client")
    name = f"{socket.gethostname()}-"[:30]
    for prover_id, proof, public in backend.rows("SELECT prover_id, length(proof), length(public_input) FROM task"):
        assert str(prover_id).startswith(name)
        assert len(str(prover_id)) <= 30
        assert (proof, public) == (584, 64)
    assert backend.count(r"submit prover_id=\S+ circuit=block task_id=task_\w+ result=valid\n") == 2
    for line in ("polling task", "process in tempdir", "submiting result for task", "submission result valid: true"):
        assert line in log.read_text()


def told(log: Path) -> list[tuple[str, str]]:
    """What the diagnosis makes of a client's log: code and evidence."""
    pod = objects.pod("p1", age=700)
    snapshot = Snapshot(
        now=time.time(),
        deployment=objects.deployment(1),
        replica_sets=[objects.replica_set()],
        pods=[pod],
        logs={"p1": log.read_text() if log.exists() else ""},
    )
    found = findings.findings(snapshot, app="client", stage="", image="")
    return [(one.code, one.evidence) for one in found]


def test_what_the_programs_log_is_diagnosed(backend: Backend, tmp_path: Path) -> None:
    """Proofs of other keys end the scheduler, which is not the same as a coordinator that is away; tasks that fail."""
    subprocess.run([BINARIES / "setup", "--out", tmp_path / "circuit"], check=True, capture_output=True)
    (tmp_path / "client.yaml").write_text(CONFIG.format(circuit=tmp_path / "circuit"))
    add_tasks(backend, 1)
    log = tmp_path / "client.log"
    with running(log, BINARIES / "client", env=backend.client(CLIENT_CONFIG=str(tmp_path / "client.yaml"))):
        eventually(lambda: [code for code, _ in told(log)] == ["COORDINATOR_BROKEN"], "the scheduler has ended", 60)
    assert backend.count("result=panic") == 1
    assert listens(backend.coordinator_port)
    away = tmp_path / "away.log"
    nobody = backend.client(CLIENT_UPSTREAM=f"http://127.0.0.1:{free_port()}")
    with running(away, BINARIES / "client", env=nobody):
        eventually(lambda: [code for code, _ in told(away)] == ["COORDINATOR_DOWN"], "nobody listens")
        assert "tcp connect error: Connection refused (os error 111)" in told(away)[0][1]
    broken = tmp_path / "tasks.log"
    again = replace(backend, coordinator_port=free_port())
    backend.connect().execute("UPDATE task SET status = 'inited', input = '{\"old_root\": \"x\"}'").connection.close()
    backend.connect().execute(
        "INSERT INTO task (task_id, circuit, block_id, input) "
        "SELECT 'task_' || n, 'block', 100 + n, '{\"old_root\": \"x\"}' FROM generate_series(1, 3) n"
    ).connection.close()
    with running(again.log, *again.coordinator(), env=again.database):
        eventually(lambda: listens(again.coordinator_port), "the coordinator listens again")
        with running(broken, BINARIES / "client", env=again.client()):
            eventually(lambda: [code for code, _ in told(broken)] == ["TASKS_FAIL"], "every task fails")


def test_a_coordinator_listens_on_loopback_unless_told_otherwise(backend: Backend, tmp_path: Path) -> None:
    """As the original does: the worker on its host sees that others are refused."""
    port = free_port()
    command = [*replace(backend, coordinator_port=port).coordinator()]
    command[command.index(f"127.0.0.1:{port}")] = f"[::1]:{port}"
    with running(tmp_path / "log", *command, env=backend.database):
        eventually(lambda: reach("127.0.0.2", port) == "loopback", "it listens on [::1]")
    usage = subprocess.run([BINARIES / "coordinator", "--help"], capture_output=True, text=True, check=False)
    assert '(default "[::1]:50055")' in usage.stderr


def test_wire_on_a_real_database(backend: Backend) -> None:
    """The Go tests of the wire pass: wrong proofs, unknown tasks, one hand-out a task, requeueing."""
    environment = os.environ | backend.database | {"EXAMPLE_TEST_DATABASE_URL": backend.database["DATABASE_URL"]}
    tests = ["go", "test", "-count=1", "-v", "./internal/service"]
    done = subprocess.run(tests, cwd=EXAMPLE, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "SKIP" not in done.stdout


def test_only_a_restarted_coordinator_puts_tasks_back(backend: Backend) -> None:
    """A killed client leaves its task `proving`; the next start of the coordinator makes it `inited`."""
    add_tasks(backend, 1)
    with running(backend.home / "killed-client.log", BINARIES / "client", env=backend.client()):
        eventually(lambda: backend.count("result=task") == 1, "the hand-out")
    assert backend.rows("SELECT status::text FROM task") == [("proving",)]
    again = replace(backend, coordinator_port=free_port())
    with running(again.log, *again.coordinator(), env=again.database):
        eventually(lambda: listens(again.coordinator_port), "the second coordinator listens")
        assert again.count(r"start listen=\S+ requeued=1\n") == 1
        assert again.rows("SELECT status::text FROM task") == [("inited",)]


def test_term_ends_a_plain_client_at_once(backend: Backend) -> None:
    """Outside a container the client handles no signal: TERM kills it."""
    with running(backend.home / "plain-client.log", BINARIES / "client", env=backend.client()) as process:
        eventually(lambda: backend.count("poll ") >= 1, "a poll")
        process.terminate()
        assert process.wait(5) == -signal.SIGTERM


@pytest.mark.skipif(os.geteuid() != 0, reason="a process id namespace needs root")
def test_term_is_ignored_as_pid_1(backend: Backend) -> None:
    """As PID 1, as in a container, the client polls on after TERM."""
    command = ["unshare", "--pid", "--fork", "--kill-child", str(BINARIES / "client")]
    with running(backend.home / "pid1-client.log", *command, env=backend.client()) as outer:
        eventually(lambda: backend.count("poll ") >= 1, "a poll")
        children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGTERM)
        before = backend.count("poll ")
        eventually(lambda: backend.count("poll ") >= before + 3, "polls after TERM")
        assert outer.poll() is None


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"CLIENT_CONFIG": "/nowhere.yaml"}, "/nowhere.yaml"),
        ({"CLIENT_POLL_INTERVAL": "soon"}, "CLIENT_POLL_INTERVAL"),
        ({"mon.key": "cut"}, "srs_monomial_form"),
        ({"circuit.r1cs": "gone"}, "r1cs"),
    ],
)
def test_config_faults_exit_101(database: Backend, tmp_path: Path, broken: dict[str, str], reason: str) -> None:
    """A fault ends the client with 101 and an ERROR line on stdout; without RUST_LOG with no word."""
    circuit = tmp_path / "circuit"
    circuit.mkdir()
    for file in database.circuit.iterdir():
        content = file.read_bytes()
        fault = broken.get(file.name)
        if fault != "gone":
            (circuit / file.name).write_bytes(content[: len(content) // 2] if fault == "cut" else content)
    (tmp_path / "client.yaml").write_text(CONFIG.format(circuit=circuit))
    variables = {name: value for name, value in broken.items() if name.startswith("CLIENT_")}
    environment = database.client(CLIENT_CONFIG=str(tmp_path / "client.yaml")) | variables
    for rust_log, lines in (("info", 2), ("", 0)):  # the start, and the reason
        done = subprocess.run(
            [BINARIES / "client"],
            env=environment | {"RUST_LOG": rust_log},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert done.returncode == 101
        assert len(done.stdout.splitlines()) == lines
        assert lines == 0 or ("ERROR" in done.stdout and reason in done.stdout)


def test_coordinator_names_a_missing_database(database: Backend, tmp_path: Path) -> None:
    """The coordinator waits a bounded time for its database and says which one it is."""
    port = free_port()
    environment = {"DATABASE_URL": f"postgres://prover@127.0.0.1:{port}/prover"}
    command = [*replace(database, coordinator_port=free_port()).coordinator(), "--database-wait", "500ms"]
    with running(tmp_path / "log", *command, env=environment) as process:
        assert process.wait(10) == 101
    assert f"127.0.0.1:{port}/prover" in (tmp_path / "log").read_text()


def test_database_comes_back_after_a_kill(tmp_path: Path) -> None:
    """A killed server leaves a lock behind; the next one starts anyway, with the data."""
    backend = Backend(tmp_path, tmp_path, free_port(), 0)

    def answers() -> bool:
        try:
            backend.rows("SELECT 1")
        except (psycopg.OperationalError, FileNotFoundError):
            return False
        return True

    with ExitStack() as stack:
        stack.enter_context(running(tmp_path / "first.log", *database_command(backend)))
        eventually(answers, "the first server answers", 60)
        backend.connect().execute("CREATE TABLE kept ()").connection.close()
    assert (tmp_path / "database/data/postmaster.pid").exists()
    with running(tmp_path / "second.log", *database_command(backend)):
        eventually(answers, "the second server answers", 60)
        assert backend.rows("SELECT * FROM kept") == []
