"""A repository with the layout and the function names of fluidex-backend, and small programs for what it starts."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sandbox.binaries import COMPOSE, ensure_built
from sandbox.go import go_command
from sandbox.settings import Settings

HERE = Path(__file__).parent
_CIRCUITS = "circuits/testdata"
# Where each program that stays is, and what it is told; ports by their name below.
_PROGRAMS = {
    "dingir-exchange/target/debug/persistor": ("nowhere",),
    "dingir-exchange/target/debug/matchengine": ("nowhere",),
    "dingir-exchange/target/debug/restapi": ("nowhere",),
    "prover-cluster/target/release/coordinator": ("COORDINATOR_PORT", "plain"),
    "prover-cluster/target/release/client": ("nowhere",),
    "rollup-state-manager/target/release/rollup_state_manager": ("nowhere", "plain", "genesis root Fr(0x2a)"),
    "regnbue-bridge/target/release/faucet": ("nowhere",),
    "regnbue-bridge/target/release/block_submitter": ("nowhere",),
}
_SCRIPTS = {"ganache-cli": ("ETH_NODE_PORT", "plain"), "ts-node": ("nowhere",)}  # what node is given to run
_NPX = '#!/bin/sh\nscript=$1\nshift\nexec node "$PWD/node_modules/.bin/$script" "$@"\n'
PORTS = {
    "EXCHANGE_DB_PORT": 22532,
    "ROLLUP_DB_PORT": 22533,
    "KAFKA_PORT": 22592,
    "COORDINATOR_PORT": 22555,
    "ETH_NODE_PORT": 22545,
}
LOCK = Path("/run/lock/fluidex-stand-in")  # the names of the compose projects are fixed: one at a time
PROJECTS = ("orchestra", "faucet", "blockscout")


@dataclass(frozen=True)
class Call:
    """One call of a function, as the function itself recorded it."""

    function: str
    cwd: str
    env: dict[str, str]


def build_service(folder: Path) -> Path:
    """The program that stands for all others."""
    program = folder / "service"
    command = [go_command(Settings()), "build", "-trimpath", "-o", str(program), "."]
    subprocess.run(command, cwd=HERE / "service", check=True, env=os.environ | {"CGO_ENABLED": "0"})
    return program


class StandIn:
    """One such repository in a directory of its own, with the programs that have to be on PATH beside it."""

    def __init__(self, folder: Path, service: Path, docker_host: str) -> None:
        """Made at once, committed, and with no call recorded."""
        self.repo = folder / "fluidex-backend"
        self.image = f"fluidex-stand-in-{os.getpid()}:latest"
        self._tools = folder / "tools"
        self._play = folder / "play"  # the record, and what the test tells the functions
        self._play.mkdir()
        self.environ = {
            "PATH": f"{self._tools}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(folder / "home"),
            "LANG": "C.UTF-8",
            "DOCKER_HOST": docker_host,
            **{f"FLUIDEX_{name}": str(port) for name, port in PORTS.items()},
        }
        self._make_tools(service)
        self._make_image(folder / "image", service)
        self._make_repository(service)

    # -- what a test may do

    def hold(self, function: str) -> None:
        """Let the function wait where it begins."""
        (self._play / f"{function}.hold").touch()

    def release(self, function: str) -> None:
        """Let it go on."""
        (self._play / f"{function}.hold").unlink()

    def fail_once(self, function: str) -> None:
        """Let its next call fail."""
        (self._play / f"{function}.fail").touch()

    def commit(self, message: str) -> None:
        """Commit everything."""
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", message)

    def change_circuit(self) -> None:
        """Another circuit, committed."""
        (self.repo / "circuits/src/block.circom").write_text("template Block: another circuit\n")
        self.commit("Another circuit")

    def calls(self) -> list[Call]:
        """All calls since the last `forget`, in their order."""
        record = self._play / "record"
        return [Call(**json.loads(line)) for line in record.read_text().splitlines()] if record.exists() else []

    def forget(self) -> None:
        """Begin the record anew."""
        (self._play / "record").unlink(missing_ok=True)

    # -- what there is

    @property
    def keys(self) -> Path:
        """The circuit files of the sizes in envs/small."""
        return self.repo / _CIRCUITS / "Block_2_5_10_5"

    def processes(self) -> dict[str, list[int]]:
        """What runs of the repository: path or script, and process ids."""
        found: dict[str, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and (name := self._name(entry)):
                found.setdefault(name, []).append(int(entry.name))
        return found

    def containers(self, *flags: str) -> list[str]:
        """Ids of the containers of the three compose projects."""
        filters = [f"--filter=label=com.docker.compose.project={project}" for project in PROJECTS]
        return [container for one in filters for container in self.docker("ps", "--quiet", *flags, one).split()]

    def docker(self, *arguments: str) -> str:
        """Output of docker on the world's Engine."""
        return subprocess.run(
            ["docker", *arguments], env=self.environ, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    def remove(self) -> None:
        """Leave the Engine as it was, whatever the test did."""
        for name in self.containers("--all"):
            self.docker("rm", "--force", "--volumes", name)
        for project in PROJECTS:
            networks = self.docker("network", "ls", "--quiet", f"--filter=label=com.docker.compose.project={project}")
            for network in networks.split():
                self.docker("network", "rm", network)
        self.docker("image", "rm", "--force", self.image)

    # -- how it is made

    def _name(self, entry: Path) -> str:
        try:
            program = str((entry / "exe").readlink()).removesuffix(" (deleted)")
            words = (entry / "cmdline").read_text().split("\0")
            directory = (entry / "cwd").readlink()
        except OSError:
            return ""  # gone meanwhile
        if program == str(self._tools / "node") and directory.is_relative_to(self.repo):
            return Path(words[1]).name
        return program.removeprefix(f"{self.repo}/") if program.startswith(f"{self.repo}/") else ""

    def _make_tools(self, service: Path) -> None:
        self._tools.mkdir()
        for name in ("cargo", "yarn", "snarkit2", "plonkit"):
            _program(self._tools / name, "#!/bin/sh\n")
        _program(self._tools / "npx", _NPX)
        shutil.copy(service, self._tools / "node")
        for name, orders in _SCRIPTS.items():
            (self._tools / f"{name}.orders").write_text(_lines(orders))
        compose = ensure_built(Settings.from_environment(), COMPOSE) / COMPOSE.program
        (self._tools / "docker-compose").symlink_to(compose)
        plugins = Path(self.environ["HOME"]) / ".docker" / "cli-plugins"
        plugins.mkdir(parents=True)
        (plugins / "docker-compose").symlink_to(compose)

    def _make_image(self, context: Path, service: Path) -> None:
        context.mkdir()
        shutil.copy(service, context / "service")
        (context / "Dockerfile").write_text('FROM scratch\nCOPY service /service\nENTRYPOINT ["/service"]\n')
        self.docker("build", "--quiet", "--tag", self.image, str(context))

    def _make_repository(self, service: Path) -> None:
        shutil.copytree(HERE / "repository", self.repo)
        tokens = {"PLAY": str(self._play), "IMAGE": self.image, **{name: str(port) for name, port in PORTS.items()}}
        for path in (self.repo / "run.sh", *self.repo.glob("*/docker/docker-compose.yaml")):
            text = path.read_text()
            for name, value in tokens.items():
                text = text.replace(f"@{name}@", value)
            path.write_text(text)
        for name, orders in _PROGRAMS.items():
            program = self.repo / name
            program.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(service, program)
            program.with_name(f"{program.name}.orders").write_text(_lines(orders))
        self._git("init", "--quiet", "--initial-branch", "main")
        self.commit("The backend")

    def _git(self, *arguments: str) -> None:
        identity = ("-c", "user.name=stand-in", "-c", "user.email=stand-in@localhost")
        subprocess.run(["git", *identity, *arguments], cwd=self.repo, check=True)


def listens(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def kill(pids: list[int]) -> None:
    """SIGKILL, for those that still are."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 9)


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _lines(orders: tuple[str, ...]) -> str:
    where, *rest = orders
    return "\n".join([f"127.0.0.1:{PORTS[where]}" if where in PORTS else where, *rest])
