"""The embedded world as benchmarks see it: programs, addresses, versions, and a clean namespace."""

import json
import os
import platform
import subprocess
import sys
from functools import cached_property
from pathlib import Path

from dotenv import dotenv_values

from sandbox.settings import Settings


class World:
    """The running world; `python -m sandbox up --worker` brings it up."""

    def __init__(self) -> None:
        self._settings = Settings.from_environment()
        self.env_file = str(self._settings.env_file)

    @cached_property
    def env(self) -> dict[str, str]:
        """Variables of world.env."""
        return {key: value for key, value in dotenv_values(self.env_file).items() if value is not None}

    @property
    def proverctl(self) -> str:
        """Our CLI in this environment."""
        return str(Path(sys.executable).parent / "proverctl")

    @property
    def temporal(self) -> str:
        """Temporal's CLI in this environment."""
        return str(Path(sys.executable).parent / "temporal")

    @property
    def kubectl(self) -> str:
        """The world's kubectl."""
        return str(self._settings.bin / "kubectl")

    def up(self) -> None:
        """Bring the world up, with a worker."""
        subprocess.run([sys.executable, "-m", "sandbox", "up", "--worker"], check=True, stdout=sys.stderr)

    def kube(self, *arguments: str, stdin: bytes | None = None) -> str:
        """Output of kubectl with admin rights."""
        command = [self.kubectl, f"--kubeconfig={self.env['KUBECONFIG']}", *arguments]
        return subprocess.run(command, input=stdin, check=True, stdout=subprocess.PIPE).stdout.decode()

    def require_free_nodes(self) -> None:
        """Refuse to measure while other fleets hold the nodes."""
        listing = json.loads(
            self.kube("get", "pods", "--all-namespaces", "--selector=role=cluster-prover", "--output=json")
        )
        held = [f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in listing["items"]]
        if held:
            raise SystemExit(f"the nodes are held by {', '.join(held)}: tear those deployments down first")

    def versions(self) -> dict[str, str]:
        """Return what the figures depend on."""
        client = json.loads(self.kube("version", "--output=json"))
        return {
            "python": platform.python_version(),
            "kubernetes": client["serverVersion"]["gitVersion"],
            "temporal": subprocess.run(
                [self.temporal, "--version"], check=True, stdout=subprocess.PIPE, text=True
            ).stdout.strip(),
            "cpus": str(os.cpu_count()),
            "history.transferProcessorMaxPollRPS": "10000",
        }
