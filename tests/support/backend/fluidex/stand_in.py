"""A repository with the layout and the function names of fluidex-backend, and small programs for what it starts."""

import contextlib
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sandbox.go import go_command
from sandbox.settings import REPOSITORY, Settings
from tests.support.ports import free_port

HERE = Path(__file__).parent
_CIRCUITS = "circuits/testdata"
SUBMODULES = (
    "blockscout",
    "circuits",
    "contracts",
    "dingir-exchange",
    "orchestra",
    "prover-cluster",
    "regnbue-bridge",
    "rollup-state-manager",
)
# What cargo builds, by submodule and place in it, and what each program is told; ports by their name below.
_ROOT = "Nov 30 21:35:16.123 INFO ThreadId(01) main: genesis root Fr(0x2a)"
_PROGRAMS = {
    "dingir-exchange/target/debug/persistor": ("nowhere",),
    "dingir-exchange/target/debug/matchengine": ("MATCHENGINE_PORT", "plain"),
    "dingir-exchange/target/debug/restapi": ("RESTAPI_PORT", "plain"),
    "prover-cluster/target/release/coordinator": ("coordinator", "plain"),
    "prover-cluster/target/release/client": ("nowhere",),
    "rollup-state-manager/target/release/rollup_state_manager": ("ROLLUP_PORT", "plain", _ROOT),
    "regnbue-bridge/target/release/faucet": ("nowhere",),
    "regnbue-bridge/target/release/block_submitter": ("nowhere",),
}
_SCRIPTS = {"ganache-cli": ("ETH_NODE_PORT", "plain"), "ts-node": ("nowhere",)}  # what node is given to run
# The programs that are no Debian packages; docker, docker-compose, cpulimit, envsubst, make and git are the real ones.
_TOOLS = {
    "cargo": 'cp -rn "$(dirname "$0")/built/$(basename "$PWD")/." .',
    "npm": "mkdir -p node_modules",
    "yarn": "mkdir -p node_modules",
    # It stays, as `npm exec` does. The address of contracts depends on the chain and on the verifier.
    "npx": """script=$1
[ "$script $2" = "hardhat compile" ] && exit
if [ "$script" = hardhat ]; then
  echo deployed >> ganache/chain
  echo "FluiDex deployed to: 0x$(cat ganache/chain contracts/Verifier.sol | sha256sum | head -c 40)"
  exit
fi
shift
node "$PWD/node_modules/.bin/$script" "$@"
exit""",
    "snarkit2": 'cat src/* > "$2/circuit.r1cs"',
    "plonkit": """case $1 in
  setup) if [ -x "$(dirname "$0")/setup" ]; then setup --out "$2"; else head -c 4096 /dev/urandom > "$2/mon.key"; fi ;;
  export-verification-key) [ -e "$2/vk.bin" ] || sha256sum "$2/mon.key" > "$2/vk.bin" ;;
  generate-verifier) cp "$2/vk.bin" "$3" ;;
esac""",
}
PORTS = {
    name: free_port()
    for name in (
        "EXCHANGE_DB_PORT",
        "ROLLUP_DB_PORT",
        "FAUCET_DB_PORT",
        "ZOOKEEPER_PORT",
        "KAFKA_PORT",
        "ENVOY_PORT",
        "MATCHENGINE_PORT",
        "RESTAPI_PORT",
        "COORDINATOR_PORT",
        "ROLLUP_PORT",
        "ETH_NODE_PORT",
        "EXPLORER_PORT",
    )
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


def build_provers(folder: Path) -> Path:
    """Directory of the example's programs, and of a coordinator of its kind for this repository: `fluidex`."""
    module = folder / "prover"
    shutil.copytree(REPOSITORY / "examples" / "prover", module, ignore=shutil.ignore_patterns("build", "__pycache__"))
    shutil.copytree(HERE / "coordinator", module / "cmd" / "fluidex")
    command = [go_command(Settings()), "build", "-trimpath", "-o", f"{module}/bin/", "./cmd/..."]
    subprocess.run(command, cwd=module, check=True, env=os.environ | {"CGO_ENABLED": "0"})
    return module / "bin"


class StandIn:
    """One such repository in a directory of its own, with the programs that have to be on PATH beside it."""

    def __init__(self, folder: Path, service: Path, docker_host: str, provers: Path | None = None) -> None:
        """Made at once, committed, and with no call recorded; with `provers` its keys, clients and proofs are real."""
        self.repo = folder / "fluidex-backend"
        self.image = f"fluidex-stand-in-{os.getpid()}"
        self.tools = folder / "tools"
        self._play = folder / "play"  # the record, and what the test tells the functions
        self._play.mkdir()
        self.environ = {
            "PATH": f"{self.tools}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(folder / "home"),
            "LANG": "C.UTF-8",
            "DOCKER_HOST": docker_host,
            **{f"FLUIDEX_{name}": str(port) for name, port in PORTS.items()},
        }
        self._make_tools(service)
        self._make_image(folder / "image", self.image, service)
        if provers:
            self._make_image(folder / "client", f"{self.image}-client", provers / "client")
            shutil.copy(provers / "setup", self.tools / "setup")
            shutil.copy(provers / "fluidex", self.tools / "built" / "prover-cluster/target/release/coordinator")
        self.origin = self._make_origin(folder / "origins" / "fluidex-backend")
        self.git("clone", "--quiet", "--recurse-submodules", str(self.origin), str(self.repo), at=folder)

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

    def commit(self, message: str, submodule: str = "") -> None:
        """Commit everything, in a submodule first."""
        for place in (self.repo / submodule, self.repo)[0 if submodule else 1 :]:
            self.git("add", "--all", at=place)
            self.git("commit", "--quiet", "--message", message, at=place)

    def change_circuit(self) -> None:
        """Another circuit, committed."""
        (self.repo / "circuits/src/block.circom").write_text("template Block: another circuit\n")
        self.commit("Another circuit", "circuits")

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
        for image in self.docker("image", "ls", "--quiet", f"{self.image}*").split():
            self.docker("image", "rm", "--force", image)

    # -- how it is made

    def _name(self, entry: Path) -> str:
        try:
            program = str((entry / "exe").readlink()).removesuffix(" (deleted)")
            words = (entry / "cmdline").read_text().split("\0")
            directory = (entry / "cwd").readlink()
        except OSError:
            return ""  # gone meanwhile
        if program == str(self.tools / "node") and directory.is_relative_to(self.repo):
            return Path(words[1]).name
        return program.removeprefix(f"{self.repo}/") if program.startswith(f"{self.repo}/") else ""

    def _make_tools(self, service: Path) -> None:
        self.tools.mkdir()
        for name, text in _TOOLS.items():
            program = self.tools / name
            program.write_text(f"#!/bin/sh\n{text}\n")
            program.chmod(0o755)
        shutil.copy(service, self.tools / "node")
        for name, orders in _SCRIPTS.items():
            (self.tools / f"{name}.orders").write_text(_lines(orders))
        for name, orders in _PROGRAMS.items():
            program = self.tools / "built" / name
            program.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(service, program)
            program.with_name(f"{program.name}.orders").write_text(_lines(orders))
        home = Path(self.environ["HOME"])
        home.mkdir()
        identity = "[user]\nname = stand-in\nemail = stand-in@localhost\n"
        (home / ".gitconfig").write_text(f'{identity}[protocol "file"]\nallow = always\n')

    def _make_image(self, context: Path, tag: str, program: Path) -> None:
        context.mkdir()
        shutil.copy(program, context)
        place = f"/usr/local/bin/{program.name}"
        text = f'FROM scratch\nENV PATH=/usr/local/bin\nCOPY {program.name} {place}\nENTRYPOINT ["{place}"]\n'
        (context / "Dockerfile").write_text(text)
        self.docker("build", "--quiet", "--tag", tag, str(context))

    def _make_origin(self, folder: Path) -> Path:
        """Repositories to clone: the backend's and those of its submodules."""
        shutil.copytree(HERE / "repository", folder)
        tokens = {"PLAY": str(self._play), "IMAGE": self.image, **{name: str(port) for name, port in PORTS.items()}}
        for path in (folder / "run.sh", *folder.glob("*/docker/docker-compose.yaml"), *folder.rglob("*.docker")):
            text = path.read_text()
            for name, value in tokens.items():
                text = text.replace(f"@{name}@", value)
            path.write_text(text)
        self.git("init", "--quiet", "--initial-branch", "main", at=folder)
        for name in SUBMODULES:
            place = folder.with_name(name)
            (folder / name).rename(place)
            self.git("init", "--quiet", "--initial-branch", "main", at=place)
            self.git("add", "--all", at=place)
            self.git("commit", "--quiet", "--message", name, at=place)
            self.git("submodule", "--quiet", "add", str(place), name, at=folder)
        self.git("add", "--all", at=folder)
        self.git("commit", "--quiet", "--message", "The backend", at=folder)
        return folder

    def git(self, *arguments: str, at: Path | None = None) -> str:
        """Output of git in the repository, or elsewhere."""
        command = ["git", *arguments]
        return subprocess.run(
            command, cwd=at or self.repo, env=self.environ, check=True, stdout=subprocess.PIPE, text=True
        ).stdout


def kill(pids: list[int]) -> None:
    """SIGKILL, for those that still are."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 9)


def _lines(orders: tuple[str, ...]) -> str:
    where, *rest = orders
    return "\n".join([f"127.0.0.1:{PORTS[where]}" if where in PORTS else where, *rest])
