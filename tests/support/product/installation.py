"""The product as its user has it: a repository, a worker process with few rights, and the CLI as a subprocess."""

import base64
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import yaml

from sandbox.settings import REPOSITORY

BIN = Path(sys.executable).parent
T = TypeVar("T")
POD = re.compile(r"prover-cli-t-[a-z0-9]+-[a-z0-9]+")


def until(look: Callable[[], T | None], *, seconds: float, what: str) -> T:
    """Return the first truthy value of `look`."""
    deadline = time.monotonic() + seconds
    while True:
        if value := look():
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.2)


class Product:
    """An installation of one user in the embedded world, with a Temporal namespace, ports and paths of its own."""

    def __init__(self, world: dict[str, str], place: Path, *, coordinator_port: int, database_port: int) -> None:
        self.world = world
        self.name = f"e2e-{secrets.token_hex(3)}"
        self.namespace = self.name
        self.state = Path(world["WORLD_STATE"]) / self.name
        self.repo = place / "backend"
        self.log = place / "worker.log"
        self.database_port = database_port
        self.coordinator_port = coordinator_port
        self.env = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(Path.home()),
            "LANG": "C.UTF-8",
            **{key: value for key, value in world.items() if not key.startswith("WORLD_")},
            "TEMPORAL_NAMESPACE": self.name,
            "CLUSTER_NS": "",
            "IMAGE_REPO": f"{self.name}/prover",
            "BACKEND_REPO": str(self.repo),
            "COORDINATOR_PORT": str(coordinator_port),
            "PROVER_STATE_DIR": str(self.state),
            "EXAMPLE_DB_PORT": str(database_port),
        }
        self.said: list[str] = []  # what every command wrote
        self._worker: subprocess.Popen[bytes] | None = None

    # -- what is around it

    def prepare(self, *, admin: bool = False) -> None:
        """Create a repository with a commit, a Temporal namespace, and a Kubernetes identity with our rights."""
        self.make_repository()
        self.make_temporal_namespace()
        if not admin:
            self._make_identity()

    def make_repository(self) -> None:
        """Create the example backend as a git repository."""
        source = REPOSITORY / "examples" / "prover"
        shutil.copytree(source, self.repo, ignore=shutil.ignore_patterns("build", "__pycache__"))
        self.git("init", "--quiet", "--initial-branch", "main")
        self.commit("The example backend")

    def git(self, *arguments: str) -> str:
        """Output of git in the repository."""
        identity = ("-c", "user.name=e2e", "-c", "user.email=e2e@localhost")
        return subprocess.run(
            ["git", *identity, *arguments], cwd=self.repo, check=True, stdout=subprocess.PIPE, text=True
        ).stdout.strip()

    def commit(self, message: str) -> str:
        """Commit everything; the short commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "--short", "HEAD")

    def make_temporal_namespace(self) -> None:
        """Ours alone, served before we go on."""
        command = [str(BIN / "temporal"), "operator", "namespace", "create", "--namespace", self.name]
        subprocess.run([*command, "--address", self.world["TEMPORAL_ADDRESS"]], check=True, capture_output=True)
        until(self._temporal_knows, seconds=30, what=f"Temporal namespace {self.name}")

    def _temporal_knows(self) -> bool:
        command = [str(BIN / "temporal"), "workflow", "list", "--namespace", self.name]
        ended = subprocess.run(
            [*command, "--address", self.world["TEMPORAL_ADDRESS"]], capture_output=True, check=False
        )
        return ended.returncode == 0

    def _make_identity(self) -> None:
        """Create a service account with exactly what `proverctl rbac` prints."""
        self.kube("create", "namespace", self.namespace)
        documents = self.cli("rbac", "-n", self.namespace).stdout
        self.kube("apply", "--filename=-", stdin=documents.encode())
        token = self.kube("create", "token", "proverctl-worker", f"--namespace={self.namespace}", "--duration=6h")
        self.env["KUBECONFIG"] = str(self._kubeconfig(token.strip()))

    def _kubeconfig(self, token: str) -> Path:
        admin = yaml.safe_load(Path(self.world["KUBECONFIG"]).read_text())
        cluster = dict(admin["clusters"][0]["cluster"])
        if authority := cluster.pop("certificate-authority", None):
            cluster["certificate-authority-data"] = base64.b64encode(Path(authority).read_bytes()).decode()
        path = self.repo.parent / "worker.kubeconfig"
        path.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "world", "cluster": cluster}],
                    "users": [{"name": "worker", "user": {"token": token}}],
                    "contexts": [{"name": "world", "context": {"cluster": "world", "user": "worker"}}],
                    "current-context": "world",
                }
            )
        )
        path.chmod(0o600)
        return path

    # -- the product

    def cli(
        self, *arguments: str, code: int = 0, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run proverctl; its exit code must be `code`."""
        ended = subprocess.run(
            [str(BIN / "proverctl"), *arguments],
            env={**self.env, **(env or {})},
            cwd=self.repo,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        said = f"proverctl {' '.join(arguments)} → {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
        self.said.append(said)
        assert ended.returncode == code, f"{said}\n--- worker\n{self.worker_log()[-3000:]}"
        return ended

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start proverctl and do not wait for it."""
        return subprocess.Popen(
            [str(BIN / "proverctl"), *arguments],
            env=self.env,
            cwd=self.repo,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def here(self) -> list[str]:
        """Return the flags that name our namespace."""
        return ["-n", self.namespace]

    def status(self) -> dict[str, Any]:
        """`proverctl status -o json`."""
        answer: dict[str, Any] = json.loads(self.cli("status", *self.here(), "-o", "json").stdout)
        return answer

    def records(self, profile: str) -> list[str]:
        """Files that the backend host keeps of a profile, relative to its folder."""
        folder = self.state / "backend" / profile
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

    def start_worker(self, env: Mapping[str, str] | None = None) -> None:
        """Start the worker as a process of its own and wait until it polls; `env` replaces parts of its environment."""
        with self.log.open("ab") as log:
            begin = log.tell()
            self._worker = subprocess.Popen(
                [sys.executable, "-m", "worker"],
                env={**self.env, **(env or {})},
                cwd=REPOSITORY,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(lambda: self._is_ready(begin), seconds=90, what=f"a worker that polls, by its log {self.log}")

    def _is_ready(self, begin: int) -> bool:
        """Return whether the worker polls or has ended; its own lines of the log start at byte `begin`."""
        assert self._worker is not None
        with self.log.open("rb") as log:
            log.seek(begin)
            return b"ready for roles" in log.read() or self._worker.poll() is not None

    @property
    def worker_pid(self) -> int:
        """The process id of the worker started last."""
        assert self._worker is not None
        return self._worker.pid

    def kill_worker(self) -> None:
        """SIGKILL; nothing is given a chance to clean up."""
        assert self._worker is not None
        os.kill(self._worker.pid, signal.SIGKILL)
        self._worker.wait()

    def stop_worker(self) -> None:
        """SIGTERM, and wait for its end."""
        assert self._worker is not None
        self._worker.terminate()
        self._worker.wait(timeout=60)

    def worker_log(self) -> str:
        """Return the log of the worker."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    # -- looking at the world

    def kube(self, *arguments: str, stdin: bytes | None = None) -> str:
        """Output of kubectl with admin rights."""
        command = [self.world["WORLD_KUBECTL"], f"--kubeconfig={self.world['KUBECONFIG']}", *arguments]
        ended = subprocess.run(command, input=stdin, capture_output=True, check=False)
        assert ended.returncode == 0, f"kubectl {' '.join(arguments)}: {ended.stderr.decode()}"
        return ended.stdout.decode()

    def pods(self) -> list[str]:
        """Names of the clients that are not on their way out."""
        listing = self.kube("get", "pods", f"--namespace={self.namespace}", "--output=json")
        return sorted(
            pod["metadata"]["name"]
            for pod in json.loads(listing)["items"]
            if "deletionTimestamp" not in pod["metadata"]
        )

    def inventory(self) -> list[str]:
        """Every object of every namespaced kind, apart from events."""
        kinds = self.kube("api-resources", "--namespaced", "--verbs=list", "--output=name").split()
        chosen = ",".join(kind for kind in kinds if not kind.startswith("events"))
        listing = self.kube("get", chosen, f"--namespace={self.namespace}", "--output=name", "--ignore-not-found")
        return sorted(listing.split())

    def stage_annotation(self) -> str:
        """Return the annotation on the namespace, empty when absent."""
        path = "jsonpath={.metadata.annotations.stage}"
        return self.kube("get", "namespace", self.namespace, f"--output={path}")

    def coordinator_log(self) -> str:
        """Return the log of the profile's coordinator."""
        found = list(self.state.glob("backend/*/logs/coordinator.log"))
        return "".join(path.read_text(errors="replace") for path in found)

    def processes(self, program: str) -> list[int]:
        """Process ids that run this program of our repository."""
        ours = str(self.repo / program)
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with_path = _link(entry / "exe")
                if with_path.removesuffix(" (deleted)") == ours:
                    found.append(int(entry.name))
        return found

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Rows of the backend's database."""
        where = f"host=127.0.0.1 port={self.database_port} dbname=prover user=prover"
        with psycopg.connect(f"{where} passfile={self.state}/backend/example/data/database/pgpass") as connection:
            return connection.execute(statement.encode()).fetchall()

    @contextmanager
    def second_coordinator(self, port: int) -> Iterator[Path]:
        """Another coordinator of the same backend; yields the path of its log."""
        log = self.repo.parent / f"coordinator-{port}.log"
        listen = f"{self.env['COORDINATOR_EP']}:{port}"
        env = {
            "PATH": self.env["PATH"],
            "DATABASE_URL": f"postgres://prover@127.0.0.1:{self.database_port}/prover",
            "PGPASSFILE": f"{self.state}/backend/example/data/database/pgpass",
        }
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["build/bin/coordinator", "--listen", listen], env=env, cwd=self.repo, stdout=out, stderr=out
            )
            try:
                until(lambda: "start listen=" in log.read_text(), seconds=30, what="second coordinator")
                yield log
            finally:
                process.kill()
                process.wait()

    def remove(self) -> None:
        """Leave the world as it was: processes, namespaces, bindings."""
        if self._worker and self._worker.poll() is None:
            self.stop_worker()
        for conf in self.state.glob("backend/**/supervisord.pid"):
            _end(int(conf.read_text()))
        shutil.rmtree(self.state, ignore_errors=True)
        self.kube("delete", "namespace", self.namespace, "--ignore-not-found", "--wait=false")
        bindings = self.kube("get", "clusterrolebindings", "--output=name").split()
        ours = [name for name in bindings if f":{self.name}-" in name]
        if ours:
            self.kube("delete", *ours)


def _link(path: Path) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115 - Path.readlink would drop the mark of a deleted file
    except OSError:
        return ""


def _end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    until(lambda: not Path(f"/proc/{pid}").exists(), seconds=60, what=f"end of supervisord {pid}")


def polls(log: str) -> dict[str, int]:
    """Pod → number of polls in a coordinator's log."""
    counts: dict[str, int] = {}
    for line in log.splitlines():
        if " poll " in line and (pod := POD.search(line)):
            counts[pod[0]] = counts.get(pod[0], 0) + 1
    return counts
