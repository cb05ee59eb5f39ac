"""Observers of the end of a rollout: a watch at the API server, and the programs that people wait with."""

import json
import os
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import yaml

from clients.kubernetes.cluster import KubernetesCluster
from clients.kubernetes.errors import Call
from clients.kubernetes.resources import collection
from domain.kubernetes import Manifest

PATIENCE = 60.0  # seconds


@dataclass(frozen=True)
class Waiter:
    """A program that ends when a rollout is done, in a namespace of its own."""

    command: list[str]
    says: str  # in the line that reports; with a time after it, that is when
    applies: bool = False  # the change is its own
    stdin: bool = False  # the manifest goes there
    begins: str = ""  # in the line that says that it waits; it is given time where it says nothing
    namespace: str = field(default_factory=lambda: f"bench-lag-{uuid4().hex[:6]}")


class Witness:
    """Notes when the status that completes the rollout of a stage arrives at a raw watch of the Deployment."""

    def __init__(self, cluster: KubernetesCluster, namespace: str, stage: str) -> None:
        self._cluster = cluster
        self._path = collection("Deployment", namespace)
        self._stage = stage
        self._seen = threading.Event()
        self._at = 0.0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def at(self, seconds: float) -> float:
        """Unix time; within `seconds` seconds."""
        if not self._seen.wait(seconds):
            raise RuntimeError(f"{self._path} was not complete in time")
        return self._at

    def _watch(self) -> None:
        query = {"watch": "true"}
        response = self._cluster.connection.stream(Call("watch", self._path), self._path, query, read_timeout=PATIENCE)
        try:
            for line in response:
                now = time.time()
                if self._complete(json.loads(line)["object"]):
                    self._at = now
                    self._seen.set()
                    return
        finally:
            response.close()

    def _complete(self, found: dict[str, Any]) -> bool:
        status, spec = found.get("status") or {}, found["spec"]
        counts = {status.get(key) for key in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")}
        observed = status.get("observedGeneration") == found["metadata"]["generation"]
        return bool(
            observed and spec["template"]["metadata"]["labels"]["stage"] == self._stage and counts == {spec["replicas"]}
        )


class Report:
    """A waiter's process, and when it said that the rollout is done."""

    def __init__(self, waiter: Waiter, manifest: Manifest, home: str) -> None:
        stage = manifest["spec"]["template"]["metadata"]["labels"]["stage"]
        named = [waiter.namespace, stage] if "-m" in waiter.command else [f"--namespace={waiter.namespace}"]
        self._says = waiter.says
        self._begins = waiter.begins
        self._begun = threading.Event()
        self._said = threading.Event()
        self._at = 0.0
        self._lines: list[str] = []
        self._process = subprocess.Popen(
            [*waiter.command, *named],
            stdin=subprocess.PIPE if waiter.stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=_environment(home),
        )
        if self._process.stdin:
            self._process.stdin.write(yaml.safe_dump(manifest))
            self._process.stdin.close()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def at(self, seconds: float) -> float:
        """Unix time; within `seconds` seconds."""
        self._said.wait(seconds)
        if not self._at:
            raise RuntimeError(f"no report of a rollout that is done:\n{''.join(self._lines)}")
        return self._at

    def begun(self, seconds: float) -> None:
        """Return when it waits, as far as it says so."""
        if self._begins and not self._begun.wait(seconds):
            raise RuntimeError(f"it does not wait:\n{''.join(self._lines)}")

    def end(self) -> None:
        """Whatever it does now."""
        self._process.terminate()
        self._process.wait()
        self._thread.join()
        if self._process.stdout:
            self._process.stdout.close()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            now = time.time()
            self._lines.append(line)
            if self._begins and self._begins in line:
                self._begun.set()
            _, found, after = line.partition(self._says)
            if found and not self._at:
                self._at = float(after) if after.strip().replace(".", "").isdigit() else now
                self._said.set()
        if self._process.wait() == 0 and not self._at:
            self._at = time.time()
        self._said.set()


def _environment(home: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": home} | {
        key: value for key, value in os.environ.items() if key.startswith("PROVER_WORLD")
    }
