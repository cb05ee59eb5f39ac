"""A backend with one step of every kind, each of which can be held in its middle and counts how often it ran."""

import os
import shutil
import subprocess
from pathlib import Path

from sandbox.binaries import COMPOSE, ensure_built
from sandbox.go import go_command
from sandbox.settings import REPOSITORY, Settings
from tests.support.ports import free_port
from tests.support.product.installation import Product

FUNCTION_PORT, PROCESS_PORT, COMPOSE_PORT = free_port(), free_port(), free_port()
KINDS = ("submodules", "function", "command", "file", "compose", "process", "wait")
_GATE = """\
#!/bin/sh
# Says that it began, waits to be let through, and says that it ended.
echo $$ >> "$1.began"
while [ ! -e "$1.go" ]; do sleep 0.05; done
echo $$ >> "$1.ended"
"""
_FUNCTIONS = """\
start_service() {
  "$PWD/gates/gate" "$PWD/gates/function"
  nohup "$PWD/bin/function" serve 127.0.0.1:%d "$PWD/gates/function.pids" > gates/function.log 2>&1 &
  export SERVICE_NAME="served-$((6 * 7))"
}
"""
_COMPOSE = """\
services:
  server:
    image: %s
    command: ["serve", "0.0.0.0:7000", "/gates/compose.pids"]
    ports: ["127.0.0.1:%d:7000"]
    volumes: ["./gates:/gates"]
    healthcheck: &gate {test: ["CMD", "/actor", "check", "/gates/compose.go"], interval: 500ms, retries: 1000}
  peer:
    image: %s
    command: ["serve", "0.0.0.0:7000", "/gates/peer.pids"]
    volumes: ["./gates:/gates"]
    healthcheck: *gate
"""
_PROFILE = """\
version: 1
name: %(name)s
functions: {file: functions.sh}
variables: {GREETING: hello}
steps:
  - name: submodules
    submodules: {}
  - name: function
    needs: [submodules]
    function: start_service
    leaves: [{program: bin/function}]
    ready: {tcp: "127.0.0.1:%(function)d"}
    ports: ["%(function)d"]
    values: {SERVICE_NAME: {variable: SERVICE_NAME}}
  - name: command
    needs: [function]
    command: [gates/gate, gates/command]
    inputs: [input.txt]
    outputs: [gates/command.ended]
  - name: file
    needs: [command]
    file: {template: settings.template, to: settings.conf}
  - name: compose
    needs: [file]
    compose: {project: %(name)s, file: compose.yaml}
    ports: ["%(compose)d"]
  - name: process
    needs: [compose]
    process: [bin/process, serve, "127.0.0.1:%(process)d", gates/process.pids]
    ports: ["%(process)d"]
    ready: {file: gates/process.go}
  - name: wait
    needs: [process]
    wait: {file: gates/wait.go}
    purge: [gates, settings.conf]
"""


class Staged:
    """The repository and its gates."""

    def __init__(self, product: Product) -> None:
        self.product = product
        self.repo = product.repo
        self.gates = product.repo / "gates"
        self.name = product.name
        self.images = [f"{product.name}-{service}:latest" for service in ("server", "peer")]

    def make(self) -> None:
        """Program, images, submodule and profile."""
        self._make_home()
        (self.repo / "bin").mkdir(parents=True)
        self.gates.mkdir()
        actor = self.repo / "bin" / "function"
        build = [go_command(Settings()), "build", "-trimpath", "-o", str(actor), "."]
        source = REPOSITORY / "tests" / "support" / "images" / "instrumented_client"
        subprocess.run(build, cwd=source, check=True, env={**os.environ, "CGO_ENABLED": "0"})
        shutil.copy(actor, self.repo / "bin" / "process")
        self._make_images(actor)
        for name, text in {
            "functions.sh": _FUNCTIONS % FUNCTION_PORT,
            "compose.yaml": _COMPOSE % (self.images[0], COMPOSE_PORT, self.images[1]),
            "settings.template": "greeting=${GREETING} service=${SERVICE_NAME} kept=$HOME\n",
            "input.txt": "one\n",
            "proverctl.yaml": _PROFILE
            % {"name": self.name, "function": FUNCTION_PORT, "compose": COMPOSE_PORT, "process": PROCESS_PORT},
        }.items():
            (self.repo / name).write_text(text)
        gate = self.gates / "gate"
        gate.write_text(_GATE)
        gate.chmod(0o755)
        self._make_submodule()

    def _make_home(self) -> None:
        """Make a home with compose as a plugin of docker, where people have it."""
        home = self.repo.parent / "home"
        plugins = home / ".docker" / "cli-plugins"
        plugins.mkdir(parents=True)
        program = ensure_built(Settings.from_environment(), COMPOSE) / COMPOSE.program
        (plugins / "docker-compose").symlink_to(program)
        self.product.env["HOME"] = str(home)

    def _make_images(self, actor: Path) -> None:
        place = self.repo.parent / "image"
        place.mkdir()
        shutil.copy(actor, place / "actor")
        for image in self.images:
            label = f'FROM scratch\nLABEL name="{image}"\nCOPY actor /actor\nENTRYPOINT ["/actor"]\n'
            (place / "Dockerfile").write_text(label)
            self.docker("build", "--quiet", "--tag", image, str(place))

    def _make_submodule(self) -> None:
        """Make a submodule, whose checkout passes a gate by a hook."""
        library = self.repo.parent / "library"
        library.mkdir()
        (library / "code").write_text("library\n")
        product = self.product
        git = ["git", "-c", "user.name=e2e", "-c", "user.email=e2e@localhost"]
        subprocess.run([*git, "init", "--quiet"], cwd=library, check=True)
        subprocess.run([*git, "add", "--all"], cwd=library, check=True)
        subprocess.run([*git, "commit", "--quiet", "--message", "Library"], cwd=library, check=True)
        product.git("init", "--quiet", "--initial-branch", "main")
        product.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "library")
        product.commit("A backend of every kind")
        product.git("submodule", "--quiet", "deinit", "--force", "library")
        hook = self.repo / ".git/modules/library/hooks/post-checkout"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\nexec {self.gates}/gate {self.gates}/submodules\n")
        hook.chmod(0o755)

    def docker(self, *arguments: str) -> str:
        """Output of docker on the world's Engine."""
        command = ["docker", *arguments]
        return subprocess.run(
            command, env=self.product.env, check=True, stdout=subprocess.PIPE, text=True
        ).stdout.strip()

    def containers(self) -> list[str]:
        """Ids of our containers, running or not."""
        label = f"label=com.docker.compose.project={self.name}"
        return self.docker("ps", "--all", "--quiet", "--no-trunc", "--filter", label).split()

    def count(self, mark: str) -> int:
        """How often a gate was reached or a program started, e.g. `command.began`, `process.pids`."""
        path = self.gates / mark
        return len(path.read_text().splitlines()) if path.exists() else 0

    def open(self, kind: str) -> None:
        """Let a step through."""
        (self.gates / f"{kind}.go").touch()
