"""Watches against a real API server: closed, silent, too old, cut off, and what is heard all the same."""

import json
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from clients.kubernetes.cluster import KubernetesCluster, connect
from clients.kubernetes.connection import ApiConnection, configuration
from clients.kubernetes.errors import Call, ErrorResponse, refusal
from clients.kubernetes.reflector import Reflector
from clients.kubernetes.resources import collection
from domain.errors import ProverError, Unavailable
from domain.kubernetes import Manifest
from tests.support.kubernetes.service_accounts import config_map, until
from tests.support.kubernetes.tcp_forwarder import Wire


def _let_pass(seconds: float) -> None:
    """Wait until the server or the silence limit has ended the watch, which is the condition here."""
    over = time.monotonic() + seconds
    assert until(lambda: time.monotonic() > over)


def _heard(heard: "Recorder", name: str) -> bool:
    return heard.names.get(name) == "ADDED"


class Recorder:
    """A sink that keeps what it hears."""

    def __init__(self) -> None:
        self.lists = 0
        self.names: dict[str, str] = {}

    def replaced(self, objects: list[Manifest]) -> None:
        """Count lists."""
        self.lists += 1
        self.names = {found["metadata"]["name"]: "LISTED" for found in objects}

    def changed(self, change: str, found: Manifest) -> None:
        """Keep the last change by name."""
        self.names[found["metadata"]["name"]] = change

    def refused(self, error: ProverError) -> None:
        """Not expected here."""
        raise AssertionError(error)


def test_a_watch_that_the_server_closes_goes_on_without_a_list(cluster: KubernetesCluster, namespace: str) -> None:
    """Closed every second: changes are still heard, from the version where it stopped."""
    heard = Recorder()
    stream = Reflector(cluster.connection, collection("ConfigMap", namespace), heard, server_timeout=1)
    stream.start()
    for name in ("1", "2", "3"):
        _let_pass(1.2)
        cluster.apply(config_map(namespace) | {"metadata": {"name": name, "namespace": namespace}})
        assert until(partial(_heard, heard, name))
    stream.close()
    assert (heard.lists, stream.alive) == (1, False)


def test_a_watch_that_falls_silent_is_replaced(cluster: KubernetesCluster, namespace: str) -> None:
    """No byte for the time allowed means a dead connection; the next one hears what happened."""
    heard = Recorder()
    stream = Reflector(cluster.connection, collection("ConfigMap", namespace), heard, silence=0.5)
    stream.start()
    _let_pass(1.5)
    cluster.apply(config_map(namespace))
    assert until(lambda: heard.names.get("toy") == "ADDED")
    stream.close()


class Expired:
    """A response as the API server gives it when the version is compacted: an ERROR event inside a 200."""

    def __iter__(self) -> Iterator[bytes]:
        status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version: 1 (9)"}
        yield json.dumps({"type": "ERROR", "object": status}).encode()

    def shutdown(self) -> None:
        """Nothing to wake."""

    def close(self) -> None:
        """Nothing to close."""


class Forgetful(ApiConnection):
    """Its first watch is too old, in one of the two ways that the API server says so."""

    def __init__(self, world: dict[str, str], *, by_event: bool) -> None:
        super().__init__(lambda: configuration("default", {}, world["KUBECONFIG"]))
        self._by_event = by_event
        self._asked = 0

    def stream(self, call: Call, path: str, query: Mapping[str, str], *, read_timeout: float) -> Any:
        """As Connection.stream, except for the first time."""
        self._asked += 1
        if self._asked > 1:
            return super().stream(call, path, query, read_timeout=read_timeout)
        if self._by_event:
            return Expired()
        raise refusal(call, ErrorResponse(410, {}, b'{"message": "too old resource version"}'))


@pytest.mark.parametrize("by_event", [True, False])
def test_a_watch_too_old_lists_again(
    world: dict[str, str], cluster: KubernetesCluster, namespace: str, *, by_event: bool
) -> None:
    """410 Gone: the list makes up for what was missed, and the watch goes on from there."""
    heard = Recorder()
    connection = Forgetful(world, by_event=by_event)
    stream = Reflector(connection, collection("ConfigMap", namespace), heard)
    stream.start()
    assert until(lambda: heard.lists == 2)
    cluster.apply(config_map(namespace))
    assert until(lambda: heard.names.get("toy") == "ADDED")
    stream.close()
    connection.close()


def test_a_watch_outlives_a_broken_wire(
    world: dict[str, str], cluster: KubernetesCluster, namespace: str, tmp_path: Path
) -> None:
    """Cut for seconds and mended: what happened meanwhile is heard, without listing more than once a second."""
    wire = Wire(world, tmp_path)
    through = connect("default", {}, wire.kubeconfig)
    heard = Recorder()
    stream = Reflector(through.connection, collection("ConfigMap", namespace), heard)
    stream.start()
    assert until(lambda: heard.lists == 1)
    wire.cut = True
    wire.break_all()
    with pytest.raises(Unavailable, match="CONTROL_PLANE_DOWN"):
        through.get("Node", "node1")
    cluster.apply(config_map(namespace))
    wire.cut = False
    assert until(lambda: heard.names.get("toy") in ("ADDED", "LISTED"))
    assert heard.lists <= 2
    stream.close()
    through.close()
    wire.close()
