"""A Kubernetes watch that stays alive: list, watch from there, reconnect, list again when the version is too old.

The kubernetes package's own Watch resumes once only and sets no socket timeout; a silent hang would last for ever.
"""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import urllib3
from urllib3.exceptions import HTTPError

from clients.kubernetes.connection import ApiConnection
from clients.kubernetes.errors import Call, Gone
from domain.errors import PermanentError, ProverError
from domain.kubernetes import Manifest
from planning.kubernetes.objects import bare

SERVER_TIMEOUT_SECONDS = 240  # seconds until the server ends a watch; a bookmark comes about every 60
SILENCE_SECONDS = 90.0  # seconds without a byte after which the connection counts as dead
FIRST_BACKOFF_SECONDS, LAST_BACKOFF_SECONDS = 0.2, 5.0  # seconds between attempts that fail
FORBIDDEN_BACKOFF_SECONDS = 30.0  # seconds; rights may be granted while we wait
STEADY_SECONDS = 1.0  # seconds that a watch must last for its end to be no failure
JOIN_SECONDS = 5.0  # seconds to wait for the thread at the end
PAGE_OBJECTS = 1000  # objects a page of a list: a page of nodes is some MB

Slim = Callable[[Manifest], Manifest]


class EventHandler(Protocol):
    """The receiver of a reflector's events; called on the reflector's thread."""

    def replaced(self, objects: list[Manifest]) -> None:
        """Take all objects, after a list."""
        ...

    def changed(self, change: str, found: Manifest) -> None:
        """Take one object that was ADDED, MODIFIED or DELETED."""
        ...

    def refused(self, error: ProverError) -> None:
        """Take the refusal of a list or watch, which is tried again later."""
        ...


class Reflector:
    """A thread that follows one collection (a path, perhaps with a selector) until closed.

    `away` is set while the API server does not answer, and `refusal` when it refused at first contact, or again and
    again since: one refusal in a long watch may be a token at the moment of its renewal.
    """

    def __init__(
        self,
        connection: ApiConnection,
        path: str,
        handler: EventHandler,
        *,
        selectors: dict[str, str] | None = None,
        server_timeout: int = SERVER_TIMEOUT_SECONDS,
        silence: float = SILENCE_SECONDS,
        slim: Slim = bare,
    ) -> None:
        self.away: ProverError | None = None
        self.refusal: ProverError | None = None
        self._connection = connection
        self._path = path
        self._handler = handler
        self._selectors = selectors or {}
        self._server_timeout = server_timeout
        self._silence = silence
        self._slim = slim
        self._refusals = 0
        self._listed = False
        self._call = Call("watch", path)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._response: urllib3.BaseHTTPResponse | None = None
        self._thread = threading.Thread(target=self._run, name=f"watch {path}", daemon=True)

    def start(self) -> None:
        """Begin; the first thing the handler gets is `replaced`, or `refused`."""
        self._thread.start()

    def close(self, *, wait: bool = True) -> None:
        """End the watch and, with `wait`, its thread."""
        self._stopping.set()
        with self._lock:
            if self._response is not None:
                with contextlib.suppress(OSError, ValueError, RuntimeError):  # it may be closing at this moment
                    self._response.shutdown()  # wakes the thread out of its read
        if wait and self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(JOIN_SECONDS)

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        version, backoff = "", FIRST_BACKOFF_SECONDS
        while not self._stopping.is_set():
            began = time.monotonic()
            pause = 0.0
            try:
                if not version:
                    version = self._list()
                for seen in self._watch(version):
                    version, backoff = seen, FIRST_BACKOFF_SECONDS
            except Gone:
                version, pause = "", backoff
            except PermanentError as error:
                version, pause = "", FORBIDDEN_BACKOFF_SECONDS
                self._refuse(error)
            except ProverError as error:
                self.away, pause = error, backoff
            except (HTTPError, OSError, ValueError):  # the watch broke off: no more than a reason to open it again
                pause = backoff
            if time.monotonic() - began < STEADY_SECONDS:
                pause = max(pause, backoff)
            if pause and not self._stopping.wait(pause):
                backoff = min(backoff * 2, LAST_BACKOFF_SECONDS)

    def _refuse(self, error: ProverError) -> None:
        self._refusals += 1
        if self._refusals > 1 or not self._listed:
            self.refusal = error
        self._handler.refused(error)

    def _list(self) -> str:
        query = {**self._selectors, "limit": str(PAGE_OBJECTS)}
        objects: list[Manifest] = []
        while True:
            page = self._connection.call(self._call, "GET", self._path, query=query)
            kind = str(page.get("kind", "")).removesuffix("List")
            # items of a list carry neither kind nor version
            objects += [self._slim({"kind": kind, **entry}) for entry in page.get("items") or []]
            query["continue"] = str(page["metadata"].get("continue") or "")
            if not query["continue"]:
                break
        self._listed, self.away = True, None
        self._handler.replaced(objects)
        return str(page["metadata"]["resourceVersion"])

    def _watch(self, version: str) -> Iterator[str]:
        query = {
            **self._selectors,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(self._server_timeout),
        }
        response = self._connection.stream(self._call, self._path, query, read_timeout=self._silence)
        self._refusals, self.refusal, self.away = 0, None, None
        with self._lock:
            self._response = response
        try:
            if self._stopping.is_set():
                return
            for line in response:
                if self._stopping.is_set():
                    return
                yield self._take(json.loads(line))
        finally:
            with self._lock:
                self._response = None
            response.close()

    def _take(self, event: dict[str, Any]) -> str:
        change, found = str(event["type"]), event["object"]
        if change == "ERROR":
            # an expired version comes as an event inside a 200; other errors (timeouts) also call for a fresh list
            raise Gone(str(found.get("message", "the watch failed")), on=self._path)
        if change != "BOOKMARK":
            self._handler.changed(change, self._slim(found))
        return str(found["metadata"]["resourceVersion"])
