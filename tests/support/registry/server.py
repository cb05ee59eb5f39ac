"""A registry of one test, on loopback, of either kind in use: Debian's docker-registry 2.8 and distribution 3."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bcrypt
import yaml

from sandbox.binaries import REGISTRY, ensure_built
from sandbox.settings import Settings
from tests.support.ports import free_port

KINDS = ("distribution 2.8", "distribution 3")
USER, PASSWORD = "ann", "canary-of-the-registry"
_ANSWERS_SECONDS = 20.0


class RegistryRoom:
    """One registry; it may be killed, restarted with other settings, and looked into on its disk."""

    def __init__(self, folder: Path, kind: str = KINDS[0], *, auth: str | dict[str, object] = "htpasswd") -> None:
        """`auth`: htpasswd, none, or the `auth` section itself."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.kind = kind
        self.storage = folder / "data"
        self.storage.mkdir()
        self.host = f"127.0.0.1:{free_port()}"
        self.process: subprocess.Popen[bytes] | None = None
        self._tls: dict[str, object] = {}
        self._users: dict[str, str] = {}
        self._auth: dict[str, object] = {}
        if auth == "htpasswd":
            self._auth = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
            self.set_password(PASSWORD)
        elif isinstance(auth, dict):
            self._auth = auth

    def set_password(self, password: str, user: str = USER) -> None:
        """From now on the user has this one only."""
        self._users[user] = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
        file = self._folder / "htpasswd"
        draft = file.with_suffix(".new")
        draft.write_text("".join(f"{name}:{digest}\n" for name, digest in self._users.items()))
        draft.replace(file)
        # Registries read it again when its time has changed, which is kept in coarse steps.
        os.utime(file, ns=(time.time_ns(), time.time_ns()))

    def use_tls(self, certificate: Path, key: Path, client_authority: Path | None = None) -> None:
        """Speak TLS from the next start on; with an authority given, with clients that it knows only."""
        self._tls = {"certificate": str(certificate), "key": str(key)}
        if client_authority:
            self._tls["clientcas"] = [str(client_authority)]

    def start(self, *, readonly: bool = False) -> None:
        """Serve what the storage holds; returns when it listens."""
        settings = self._folder / "config.yml"
        settings.write_text(yaml.safe_dump(self._configuration(readonly=readonly)))
        environment = {"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"}
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [_program(self.kind), "serve", str(settings)], stdout=log, stderr=log, env=environment
            )
        until(lambda: _listens(self.host), f"{self.kind} listens")

    def stop(self) -> None:
        """Kill it, as a crash would."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def restart(self, *, readonly: bool = False) -> None:
        """A crash and a new start."""
        self.stop()
        self.start(readonly=readonly)

    def uploads(self) -> list[str]:
        """Uploads that are open in the storage.

        A cancelled one may leave `hashstates` behind: distribution 2.8 writes it after removing the rest.
        """
        return [str(path) for path in self._of_uploads("startedat")]

    def blobs(self) -> dict[str, int]:
        """Sizes of the finished blobs by digest."""
        found = self.storage.glob("**/blobs/sha256/*/*/data")
        return {f"sha256:{path.parent.name}": path.stat().st_size for path in found}

    def received(self) -> int:
        """Bytes of the largest open upload."""
        sizes = [0]
        for path in self._of_uploads("data"):
            with contextlib.suppress(FileNotFoundError):  # it has just been finished
                sizes.append(path.stat().st_size)
        return max(sizes)

    def _of_uploads(self, name: str) -> list[Path]:
        """Files of this name; unlike a glob, a walk does not mind what vanishes under it."""
        found = [Path(folder, name) for folder, _, files in os.walk(self.storage) if name in files]
        return [path for path in found if path.parents[1].name == "_uploads"]

    def tags(self) -> list[str]:
        """Tags of all repositories that name a manifest."""
        return sorted(path.parents[1].name for path in self.storage.glob("**/_manifests/tags/*/current/link"))

    def dangling(self) -> list[str]:
        """Digests that the manifest of a tag names and the storage lacks."""
        blobs, lacking = self.blobs(), []
        for link in self.storage.glob("**/_manifests/tags/*/current/link"):
            digest = link.read_text().strip()
            named = [digest]
            if digest in blobs:
                content = json.loads(self._blob(digest).read_text())
                named += [part["digest"] for part in (content["config"], *content["layers"])]
            lacking += [one for one in named if one not in blobs]
        return lacking

    def _blob(self, digest: str) -> Path:
        return next(self.storage.glob(f"**/blobs/sha256/*/{digest.removeprefix('sha256:')}/data"))

    def _configuration(self, *, readonly: bool) -> dict[str, Any]:
        maintenance: dict[str, object] = {"uploadpurging": {"enabled": False}}
        if readonly:
            maintenance["readonly"] = {"enabled": True}
        return {
            "version": "0.1",
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": str(self.storage)},
                "delete": {"enabled": True},
                "maintenance": maintenance,
            },
            # Several instances and restarts go on with each other's uploads by a secret of their own only.
            "http": {"addr": self.host, "secret": "of this test", **({"tls": self._tls} if self._tls else {})},
            **({"auth": self._auth} if self._auth else {}),
        }


@contextmanager
def registry_room(
    folder: Path, kind: str = KINDS[0], *, auth: str | dict[str, object] = "htpasswd", disk: int = 0
) -> Iterator[RegistryRoom]:
    """A registry that serves, and is gone afterwards; `disk` gives its storage so many bytes in all."""
    room = RegistryRoom(folder, kind, auth=auth)
    with small_disk(room.storage, disk) if disk else contextlib.nullcontext():
        try:
            room.start()
            yield room
        finally:
            room.stop()


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """A disk of so many bytes, in memory."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def until(condition: Callable[[], bool], what: str, seconds: float = _ANSWERS_SECONDS) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)


def fetch(host: str, path: str, login: tuple[str, str] = (USER, PASSWORD)) -> Any:
    """JSON of a registry over plain HTTP."""
    url = f"http://{host}/v2/{path}"
    manager = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    manager.add_password(None, url, *login)
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(manager))
    request = urllib.request.Request(url, headers={"Accept": "application/vnd.oci.image.manifest.v1+json"})
    with opener.open(request) as answer:
        return json.load(answer)


def _program(kind: str) -> str:
    if kind == KINDS[0]:
        found = shutil.which("docker-registry")
        assert found, "install Debian's docker-registry"
        return found
    return str(ensure_built(Settings.from_environment(), REGISTRY) / REGISTRY.program)


def _listens(host: str) -> bool:
    name, _, port = host.partition(":")
    try:
        with socket.create_connection((name, int(port)), timeout=1):
            return True
    except OSError:
        return False
