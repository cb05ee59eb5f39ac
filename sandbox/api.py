"""JSON over HTTPS to the world's own API server as its administrator; many requests at a time."""

import ssl
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import httpx

from sandbox.errors import WorldError
from sandbox.settings import Settings

_T = TypeVar("_T")
_AT_ONCE = 16
_PATIENCE = 60.0  # seconds for one answer
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
            timeout=_PATIENCE,
            trust_env=False,
        )
        self._threads = ThreadPoolExecutor(_AT_ONCE)

    def get(self, path: str, **query: str) -> Any:
        """The object or list at this path."""
        return self._answer(self._http.get(path, params=query))

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Create an object."""
        return self._answer(self._http.post(path, json=body))

    def patch(self, path: str, body: Mapping[str, Any], kind: str = MERGE) -> Any:
        """Change an object."""
        return self._answer(self._http.patch(path, json=body, headers={"Content-Type": kind}))

    def delete(self, path: str, **query: str) -> None:
        """Delete an object, or nothing when it is gone already."""
        answer = self._http.delete(path, params=query)
        if answer.status_code != httpx.codes.NOT_FOUND:
            self._answer(answer)

    def each(self, do: Callable[[_T], object], items: Iterable[_T]) -> None:
        """Do it for all of them, several at a time; the first error is raised."""
        for _ in self._threads.map(do, items):
            pass

    def close(self) -> None:
        """Let go of threads and connections."""
        self._threads.shutdown()
        self._http.close()

    @staticmethod
    def _answer(answer: httpx.Response) -> Any:
        if answer.status_code >= _OK:
            raise WorldError(f"{answer.request.method} {answer.url.path}: {answer.status_code} {answer.text[:300]}")
        return answer.json()
