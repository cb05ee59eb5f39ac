"""Git repositories of a test, made for good or for evil, and a server that hands them out over https."""

import base64
import http.server
import os
import ssl
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Self

_IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "protocol.file.allow=always")
_HELD_SECONDS = 60.0  # of a request that no test lets go


def git(repo: Path, *arguments: str, said: str = "") -> str:
    """What git answers there."""
    command = ["git", "-C", str(repo), *_IDENTITY, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, input=said).stdout.strip()


def repository(path: Path, files: Mapping[str, str] | None = None) -> Path:
    """One commit with these files on `main`, and build/ ignored."""
    path.mkdir(parents=True)
    git(path, "init", "-q", "-b", "main")
    return commit(path, {"a.txt": "a", ".gitignore": "build/\n"} | dict(files or {}))


def commit(repo: Path, files: Mapping[str, str]) -> Path:
    """One more."""
    for name, content in files.items():
        (repo / name).parent.mkdir(parents=True, exist_ok=True)
        (repo / name).write_text(content)
    git(repo, "add", "--all")
    git(repo, "commit", "-q", "--allow-empty", "-m", "more")
    return repo


def blob(repo: Path, content: str) -> str:
    """Its name."""
    return git(repo, "hash-object", "-w", "--stdin", said=content)


def committed(repo: Path, *entries: str) -> str:
    """A commit on `main` of exactly these entries of a tree, `MODE TYPE OBJECT<tab>NAME`, however wrong they are."""
    raw = b"".join(_raw(entry) for entry in sorted(entries, key=lambda entry: entry.partition("\t")[2]))
    command = ["git", "-C", str(repo), "hash-object", "-w", "-t", "tree", "--literally", "--stdin"]
    tree = subprocess.run(command, check=True, capture_output=True, input=raw).stdout.decode().strip()
    made = git(repo, "commit-tree", "-m", "odd", tree)
    git(repo, "update-ref", "refs/heads/main", made)
    return made


def tree(repo: Path, *entries: str) -> str:
    """A tree inside another one."""
    return git(repo, "mktree", "--missing", said="\n".join(entries) + "\n")


def _raw(entry: str) -> bytes:
    head, _, name = entry.partition("\t")
    mode, _, object_ = head.split(" ")
    return f"{mode.lstrip('0')} {name}\0".encode() + bytes.fromhex(object_)


class GitServer:
    """Serves the repositories of a folder at https://127.0.0.1:PORT/ and knows who asked."""

    def __init__(self, folder: Path, context: ssl.SSLContext) -> None:
        self.password = ""  # of user ann; empty: anybody
        self.status = 0  # other than 0: the answer to everything
        self.held: threading.Event | None = None  # not set: answers wait for it
        self.asked = threading.Event()
        self.requests: list[str] = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self, folder)

            do_POST = do_GET  # noqa: N815 - the name that the base class calls

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.held:
            self.held.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, handler: http.server.BaseHTTPRequestHandler, folder: Path) -> None:
        """As git's own program for web servers does it."""
        self.requests.append(handler.path)
        self.asked.set()
        if self.held:
            self.held.wait(_HELD_SECONDS)
        wanted = f"Basic {base64.b64encode(f'ann:{self.password}'.encode()).decode()}"
        if self.status or (self.password and handler.headers.get("Authorization") != wanted):
            handler.send_response(self.status or 401)
            handler.send_header("WWW-Authenticate", 'Basic realm="git"')
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        path, _, query = handler.path.partition("?")
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "REQUEST_METHOD": handler.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": handler.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": handler.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": handler.headers.get("Git-Protocol", ""),
        }
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        said = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=True)
        head, _, content = said.stdout.partition(b"\r\n\r\n")
        fields = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        handler.send_response(next((int(value[:3]) for name, value in fields if name == "Status"), 200))
        for name, value in fields:
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)
