"""Every row of docs/diagnoses.md on the world's cluster: told by its cause, by no timeout, and no other on the way.

With RECORD_DIAGNOSES=1 what was seen becomes the corpus that the unit tests judge in milliseconds.
"""

import os
import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Semaphore

import pytest

from clients.kubernetes.cluster import KubernetesCluster
from domain.diagnosis import Diagnosis
from sandbox.kubernetes.api import Api
from sandbox.settings import Settings
from tests.support.diagnosis import corpus
from tests.support.diagnosis.case import Case, Scene, Verdict, events_of, patiently
from tests.support.diagnosis.cluster_rows import API
from tests.support.diagnosis.environment import scene
from tests.support.diagnosis.node_rows import KUBELET, Row

ROWS = KUBELET | API
_STAGE = Semaphore(8)  # plays that begin at once: the API server has two cores, and so have we


@pytest.fixture(scope="module")
def verdicts(
    world: dict[str, str], cluster: KubernetesCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Verdict]]]:
    """All plays, many at a time, the long ones first."""
    chosen = os.environ.get("DIAGNOSES", "")
    with scene(world, cluster, tmp_path_factory.mktemp("scene")) as shared, ThreadPoolExecutor(len(ROWS)) as pool:
        names = sorted(ROWS, key=lambda name: -ROWS[name].seconds)
        wanted = [name for name in names if re.search(chosen, name)]
        yield {name: pool.submit(_play, shared, name, ROWS[name]) for name in wanted}


def _play(shared: Scene, name: str, row: Row) -> Verdict:
    with _STAGE:
        case = Case(shared, name)
    try:
        with _STAGE:
            row.play(case)
        found = case.verdict(
            lambda seen: seen.found is not None and (seen.found.code, seen.found.severity) == (row.code, row.severity),
            seconds=row.seconds,
            expected=row.code,
            autoscale=row.autoscale,
        )
        assert found.found, f"{found.observed}\n{events_of(case.cluster, case.namespace)}"
        case.measure(found)
        if os.environ.get("RECORD_DIAGNOSES") and _missing(row, found.found) == []:
            corpus.record(name, row.autoscale, case.image, found)
        return found
    finally:
        case.remove()
        _forget(case)


def _missing(row: Row, found: Diagnosis) -> list[str]:
    """Code, class and words that should be there."""
    said = f"{found.severity}: {found}"
    return [words for words in (f"{row.severity}: {row.code}:", *row.says) if words not in said]


def _forget(case: Case) -> None:
    """Remove what a case made outside its namespace, by its name."""
    hooks = "/apis/admissionregistration.k8s.io/v1"
    for path in (
        f"{hooks}/validatingwebhookconfigurations",
        f"{hooks}/validatingadmissionpolicybindings",
        f"{hooks}/validatingadmissionpolicies",
        "/apis/scheduling.k8s.io/v1/priorityclasses",
    ):
        patiently(partial(case.scene.api.delete, f"{path}/{case.namespace}"))


@pytest.mark.parametrize("name", ROWS)
def test_the_row_is_told_by_its_cause(verdicts: dict[str, Future[Verdict]], name: str) -> None:
    """Code, class and the words that help, and no false alarm before."""
    row, seen = ROWS[name], verdicts[name].result()
    assert seen.found is not None
    said = f"{seen.found.severity}: {seen.found}"
    missing = _missing(row, seen.found)
    if missing:
        pytest.fail(f"{missing} not in {said}")
    assert seen.found.do
    assert seen.alarms == []


def test_the_world_is_left_clean(verdicts: dict[str, Future[Verdict]]) -> None:
    """No play leaves anything outside its namespace."""
    for future in verdicts.values():
        future.exception()
    api = Api(Settings.from_environment())
    hooks = api.get("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations")["items"]
    assert [found["metadata"]["name"] for found in hooks if found["metadata"]["name"].startswith("dx-")] == []
    api.close()
