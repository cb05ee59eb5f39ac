"""JSON over HTTPS to the world's own API server as its administrator; many requests at a time."""

import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import httpx

from sandbox.errors import WorldError
from sandbox.settings import Settings

_T = TypeVar("_T")
_AT_ONCE = 16
_ANSWER_SECONDS = 60.0  # seconds for one answer, and for an API server that does not answer at all
_PAUSE = 0.2  # seconds
_OK = 400  # statuses from here on are refusals

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


class Api:
    """The API server of one world; use it from any thread."""

    def __init__(self, settings: Settings) -> None:
        trust = ssl.create_default_context(cafile=str(settings.pki / "ca.crt"))
        trust.load_cert_chain(settings.pki / "admin.crt", settings.pki / "admin.key")
        self._http = httpx.Client(
            base_url=f"https://{settings.host}:{settings.ports.apiserver}",
            verify=trust,
            timeout=_ANSWER_SECONDS,
            trust_env=False,
        )
        self._threads = ThreadPoolExecutor(_AT_ONCE)

    def get(self, path: str, **query: str) -> Any:
        """Return the object or list at this path."""
        return _content(self._ask("GET", path, params=query))

    def post(self, path: str, body: Mapping[str, Any]) -> None:
        """Create an object; one that exists already may be of an attempt whose answer was lost."""
        answer = self._ask("POST", path, json=body)
        if answer.status_code != httpx.codes.CONFLICT:
            _content(answer)

    def patch(self, path: str, body: Mapping[str, Any], kind: str = MERGE) -> Any:
        """Change an object."""
        return _content(self._ask("PATCH", path, json=body, headers={"Content-Type": kind}))

    def delete(self, path: str, **query: str) -> None:
        """Delete an object, or nothing when it is gone already."""
        answer = self._ask("DELETE", path, params=query)
        if answer.status_code != httpx.codes.NOT_FOUND:
            _content(answer)

    def each(self, do: Callable[[_T], object], items: Iterable[_T]) -> None:
        """Do it for all of them, several at a time; the first error is raised."""
        for _ in self._threads.map(do, items):
            pass

    def close(self) -> None:
        """Let go of threads and connections."""
        self._threads.shutdown()
        self._http.close()

    def _ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Again while the API server is being restarted, which tests do."""
        deadline = time.monotonic() + _ANSWER_SECONDS
        while True:
            try:
                return self._http.request(method, path, **request)
            except httpx.TransportError as error:
                if time.monotonic() > deadline:
                    raise WorldError(f"{method} {path}: {error}") from error
                time.sleep(_PAUSE)


def _content(answer: httpx.Response) -> Any:
    if answer.status_code >= _OK:
        raise WorldError(f"{answer.request.method} {answer.url.path}: {answer.status_code} {answer.text[:300]}")
    return answer.json()
