"""Words of supervisord: its configuration files, and XML-RPC over its socket."""

import hashlib
import http.client
import os
import socket
import xmlrpc.client
from pathlib import Path
from typing import Any

ANSWER_SECONDS = 10.0
_SOCKET_LENGTH = 90  # the kernel takes 107; supervisord first binds to the name plus its pid
SUPERVISORD = """\
[unix_http_server]
file={socket}
chmod=0700

[supervisord]
logfile={folder}/supervisord.log
logfile_maxbytes=5MB
logfile_backups=1
pidfile={folder}/supervisord.pid
childlogdir={folder}/logs
{user}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[include]
files=conf.d/*.conf
"""
PROGRAM = """\
[program:{name}]
command={command}
redirect_stderr=true
stdout_logfile={log}
stdout_logfile_maxbytes=50MB
stdout_logfile_backups=2
autorestart={restart}
exitcodes=0
startsecs={steady}
startretries={attempts}
stopwaitsecs={stop}
stopasgroup=true
killasgroup=true
"""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=ANSWER_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class UnixSocketTransport(xmlrpc.client.Transport):
    """Speaks through a socket file."""

    def __init__(self, path: Path) -> None:
        """`path` is the socket."""
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        """Return the connection of a call."""
        self._made = _Connection(self._path)
        self._connection = host, self._made
        return self._made


def socket_path(folder: Path) -> Path:
    """In the folder, or in a private short one when the kernel would not take the name."""
    path = folder / "supervisor.sock"
    if len(os.fsencode(path)) <= _SOCKET_LENGTH:
        return path
    short = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path("/tmp") / f"proverctl-{os.getuid()}-{short}" / "supervisor.sock"  # noqa: S108 - checked when made


def escaped(text: str) -> str:
    """As text of its configuration."""
    return text.replace("%", "%%")
