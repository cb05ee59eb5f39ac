"""Looks at a condition once: each probe says what is lacking, or None, within seconds whatever its peer does."""

import asyncio
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from clients.backend.job import Job
from clients.backend.log_search import LogSearch
from clients.backend.logs import last_line
from clients.system.tcp import is_loopback
from domain.errors import SettingsInvalid
from domain.ports import Beat
from domain.profile import Sql, Wait

Probe = Callable[[], str | None]

_ANSWER_SECONDS = 3.0  # for a peer's answer
_COMMAND_SECONDS = 10  # a command is asked again and again, so it has to be quick
_LOOK_SECONDS = 0.05
_BEAT_SECONDS = 1.0
_BAD = 400
_TIMED_OUT = 124  # of coreutils' timeout


def probe(job: Job, wait: Wait, beat: Beat) -> Probe:
    """Ask it as often as wanted; SettingsInvalid for an address or expression that cannot be meant."""
    if wait.log is not None:
        return LogSearch(job, wait.log).lacks
    if wait.sql is not None:
        return _sql(job, wait.sql)
    kinds: dict[str, Callable[[], Probe]] = {
        "tcp": lambda: _tcp(*_address(job, "tcp", wait.tcp)),
        "http": lambda: _http(job, wait.http),
        "grpc": lambda: _grpc(job, wait.grpc),
        "command": lambda: lambda: _command(job, wait.command, beat),
        "file": lambda: lambda: None if (job.directory / wait.file).exists() else "nobody has written it",
    }
    return kinds[wait.kind]()


def _address(job: Job, kind: str, text: str) -> tuple[str, int]:
    host, found, port = text.rpartition(":")
    if not found or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise SettingsInvalid([f"step {job.step.name} awaits {kind} {text!r}, which is not host:port"])
    return host.strip("[]") or "localhost", int(port)


def _tcp(host: str, port: int) -> Probe:
    def look() -> str | None:
        try:
            with socket.create_connection((host, port), timeout=_ANSWER_SECONDS):
                return None
        except OSError as error:
            return (error.strerror or str(error)) + _only_loopback(host, port)

    return look


def _only_loopback(host: str, port: int) -> str:
    """Return a clause when the port is open on this machine's loopback address only, else an empty text."""
    own = {one.address for addresses in psutil.net_if_addrs().values() for one in addresses}
    if host not in own or is_loopback(host):
        return ""
    table = [one for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN and one.laddr]
    found = [one.laddr.ip for one in table if one.laddr and one.laddr.port == port]
    if not found or not all(is_loopback(address) for address in found):
        return ""
    where = ", ".join(sorted({f"[{address}]" if ":" in address else address for address in found}))
    return f": its port {port} is open on the loopback address {where} only, which no other machine reaches"


def _http(job: Job, url: str) -> Probe:
    import httpx  # noqa: PLC0415 - heavy, and few profiles need it

    try:
        host = urlsplit(url).hostname if urlsplit(url).scheme in {"http", "https"} else None
    except ValueError:
        host = None
    if not host:
        raise SettingsInvalid([f"step {job.step.name} awaits http, but its URL is none of http:// or https://"])

    def look() -> str | None:
        try:
            # Redirects are an answer and not followed: credentials in the URL stay with the host they are for.
            with (
                httpx.Client(timeout=_ANSWER_SECONDS, trust_env=not is_loopback(host)) as client,
                client.stream("GET", url) as answer,
            ):
                return None if answer.status_code < _BAD else f"status {answer.status_code} {answer.reason_phrase}"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return str(error) or type(error).__name__

    return look


def _grpc(job: Job, target: str) -> Probe:
    import grpc  # noqa: PLC0415 - heavy, and few profiles need it
    from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: PLC0415

    address, _, service = target.partition("/")
    _address(job, "grpc", address)
    question = health_pb2.HealthCheckRequest(service=service)

    def look() -> str | None:
        with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(question, timeout=_ANSWER_SECONDS)
            except grpc.RpcError as error:
                return f"{error.code().name}: {error.details()}"
        name: str = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
        return None if name == "SERVING" else f"its health is {name}"

    return look


def _command(job: Job, argv: list[str], beat: Beat) -> str | None:
    """Through `timeout`, which ends the whole group even when this worker was killed."""
    with tempfile.NamedTemporaryFile() as output:  # not a pipe: what it leaves behind must not hold us up
        bounded = ["timeout", "--kill-after=1", str(_COMMAND_SECONDS), *argv]
        process = subprocess.Popen(  # noqa: S603 - the profile's own argument list
            bounded,
            cwd=job.directory,
            env=dict(job.env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = _awaited(process, lambda: beat(f"{job.step.name}: asks {argv[0]}"))
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        said = last_line(Path(output.name)) or "it said nothing"
    if code == _TIMED_OUT:
        said = f"no end within {_COMMAND_SECONDS} s: {said}"
    return None if code == 0 else f"exit code {code}: {said}"


def _awaited(process: subprocess.Popen[bytes], tell: Callable[[], None]) -> int:
    next_beat = time.monotonic() + _BEAT_SECONDS
    while (code := process.poll()) is None:
        if time.monotonic() >= next_beat:
            tell()
            next_beat = time.monotonic() + _BEAT_SECONDS
        time.sleep(_LOOK_SECONDS)
    return code


def _sql(job: Job, sql: Sql) -> Probe:
    import psycopg  # noqa: PLC0415 - heavy, and few profiles need it
    from psycopg.conninfo import conninfo_to_dict, make_conninfo  # noqa: PLC0415

    home = job.env.get("HOME", "/")
    # Set even when empty: libpq would else take them from this worker's own environment.
    own = {"password": job.env.get("PGPASSWORD", ""), "passfile": job.env.get("PGPASSFILE", f"{home}/.pgpass")}
    try:
        settings: dict[str, Any] = own | conninfo_to_dict(sql.url) | {"connect_timeout": int(_ANSWER_SECONDS)}
    except psycopg.ProgrammingError:
        problem = f"step {job.step.name} awaits sql, but its url is no PostgreSQL URL (postgresql://user@host/database)"
        raise SettingsInvalid([problem]) from None  # the library's text would show a password

    async def ask() -> str | None:
        async with await psycopg.AsyncConnection.connect(make_conninfo(**settings), autocommit=True) as connection:
            cursor = await connection.execute(sql.query.encode())
            return None if cursor.description and await cursor.fetchone() else "the query gives no row"

    def look() -> str | None:
        try:
            return asyncio.run(asyncio.wait_for(ask(), _ANSWER_SECONDS))
        except TimeoutError:
            return f"no answer within {_ANSWER_SECONDS:.0f} s"
        except psycopg.Error as error:
            return str(error) or type(error).__name__

    return look
