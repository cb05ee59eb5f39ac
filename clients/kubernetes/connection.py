"""HTTP to one API server: credentials by kubeconfig or service account, a socket timeout on everything, JSON.

The kubernetes package finds credentials and makes the TLS pool; its typed models are not used.
"""

import json
import os
import ssl
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3
from kubernetes import config
from kubernetes.client import Configuration
from kubernetes.client.rest import RESTClientObject
from kubernetes.config.config_exception import ConfigException
from urllib3.exceptions import HTTPError, ProtocolError

from clients.kubernetes.errors import Call, ErrorResponse, failure, nonsense, refusal
from domain.errors import SettingsInvalid

CONNECT_TIMEOUT_SECONDS = 3.0  # seconds
READ_TIMEOUT_SECONDS = 6.0  # seconds without a byte; with the above still below every heartbeat timeout
POOL_SIZE = 256  # idle connections kept: each rollout that is waited for has four streams
HTTP_UNAUTHORIZED = 401
FIRST_ERROR_STATUS = 300
DEFAULT = "default"

Load = Callable[[], Configuration]


def configuration(cluster: str, contexts: Mapping[str, str], kubeconfig: str | None) -> Configuration:
    """Return the configuration of a CLUSTER: its context in `contexts`, by default the current one, else the pod's.

    `kubeconfig` is a path or several with the system's separator; None means `~/.kube/config`. SettingsInvalid.
    """
    context = contexts.get(cluster)
    if context is None and cluster != DEFAULT:
        known = ", ".join(sorted(contexts)) or "none"
        raise SettingsInvalid(
            [f"CLUSTER={cluster} is not in KUBE_CONTEXTS of this worker (known: {known}): add {cluster}=<context>."]
        )
    found = Configuration()
    try:
        if kubeconfig is None and _in_pod():
            config.load_incluster_config(client_configuration=found)  # type: ignore[no-untyped-call]
        else:
            paths = kubeconfig or str(Path.home() / ".kube" / "config")
            config.load_kube_config(  # type: ignore[no-untyped-call]
                config_file=paths, context=context, client_configuration=found, persist_config=False
            )
    except (ConfigException, OSError) as error:
        raise SettingsInvalid(
            [f"KUBECONFIG={kubeconfig or ''} context {context or '(current)'}: {error}. Name a readable kubeconfig."]
        ) from error
    return found


def _in_pod() -> bool:
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and not (Path.home() / ".kube" / "config").exists()


class ApiConnection:
    """Calls one API server; loads its configuration at the first call and again after a 401.

    Thread-safe. `close` ends idle connections only: a stream is closed by whoever reads it.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._session: tuple[Configuration, urllib3.PoolManager] | None = None

    @property
    def host(self) -> str:
        """The API server's URL."""
        return str(self._current()[0].host)

    def authority(self) -> bytes:
        """Return the certificates that sign the API server's, else its URL: they identify a cluster without rights."""
        current = self._current()[0]
        if current.ssl_ca_cert:
            return Path(current.ssl_ca_cert).read_bytes()
        return str(current.host).encode()

    def call(
        self,
        call: Call,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        warnings: list[str] | None = None,
    ) -> Any:
        """Return the JSON of a 2xx answer; raise the domain error of any other answer, and of none.

        What the API server warns of is added to `warnings`, as it comes in the headers.
        """
        response = self._open(call, method, path, query, body, content_type, READ_TIMEOUT_SECONDS)
        if warnings is not None:
            warnings += response.headers.getlist("Warning")
        content = self._read(call, response)
        try:
            return json.loads(content)
        except ValueError:
            raise nonsense(call, self.host, content) from None

    def text(self, call: Call, path: str, query: Mapping[str, str]) -> str:
        """Return the text of a GET; raises as `call`."""
        return self._read(call, self._open(call, "GET", path, query, None, "", READ_TIMEOUT_SECONDS)).decode(
            errors="replace"
        )

    def stream(
        self, call: Call, path: str, query: Mapping[str, str], *, read_timeout: float
    ) -> urllib3.BaseHTTPResponse:
        """Open a GET whose body is read line by line; `shutdown()` on it from another thread ends the reading."""
        return self._open(call, "GET", path, query, None, "", read_timeout)

    def close(self) -> None:
        """Close idle connections; the next call connects anew."""
        with self._lock:
            if self._session:
                self._session[1].clear()
            self._session = None

    def _open(
        self,
        call: Call,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Any,
        content_type: str,
        read_timeout: float,
    ) -> urllib3.BaseHTTPResponse:
        data = None if body is None else json.dumps(body).encode()
        response = self._send(call, method, path, query, data, content_type, read_timeout)
        if response.status == HTTP_UNAUTHORIZED:
            # a rotated token: the file has the new one already
            response.drain_conn()
            self.close()
            response = self._send(call, method, path, query, data, content_type, read_timeout)
        if response.status >= FIRST_ERROR_STATUS:
            try:
                answer = ErrorResponse(response.status, response.headers, response.read())
            except (HTTPError, OSError) as error:
                raise failure(call, error, self.host) from None
            finally:
                response.release_conn()
            raise refusal(call, answer)
        return response

    def _read(self, call: Call, response: urllib3.BaseHTTPResponse) -> bytes:
        try:
            return response.read()
        except (HTTPError, OSError) as error:
            raise failure(call, error, self.host) from None
        finally:
            response.release_conn()

    def _send(
        self,
        call: Call,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        data: bytes | None,
        content_type: str,
        read_timeout: float,
    ) -> urllib3.BaseHTTPResponse:
        current, pool = self._current()
        headers = {"Accept": "application/json", "User-Agent": "proverctl", **_authorization(current)}
        if data is not None:
            headers["Content-Type"] = content_type
        url = current.host + path + (f"?{_encoded(query)}" if query else "")
        for last in (False, True):
            try:
                return pool.request(
                    method,
                    url,
                    body=data,
                    headers=headers,
                    timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_SECONDS, read=read_timeout),
                    retries=False,
                    redirect=False,
                    preload_content=False,
                )
            except (HTTPError, OSError) as error:
                # a kept connection that the server closed meanwhile: all our calls may be sent twice
                if last or not isinstance(error, ProtocolError):
                    self.close()  # the cluster may have moved or renewed its certificates: read the kubeconfig again
                    raise failure(call, error, current.host) from None
        raise AssertionError("unreachable")  # pragma: no cover

    def _current(self) -> tuple[Configuration, urllib3.PoolManager]:
        with self._lock:
            if self._session is None:
                loaded = self._load()
                loaded.connection_pool_maxsize = POOL_SIZE
                try:
                    pool = RESTClientObject(loaded).pool_manager
                except (OSError, ssl.SSLError, ValueError) as error:
                    raise SettingsInvalid([f"KUBECONFIG: its certificates are not usable: {error}."]) from error
                self._session = (loaded, pool)
            return self._session


def _authorization(current: Configuration) -> dict[str, str]:
    token = current.auth_settings().get("BearerToken")
    return {"Authorization": str(token["value"])} if token and token["value"] else {}


def _encoded(query: Mapping[str, str]) -> str:
    return urlencode({key: value for key, value in query.items() if value})
