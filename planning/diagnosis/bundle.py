"""Chooses what an evidence bundle holds: everything that explains a failure, nothing that is a secret, bounded.

It is written before a rollback or a clean-up destroys the pods, their logs and, an hour later, their events.
"""

import json
from collections.abc import Mapping
from typing import Any

from domain.diagnosis import Diagnosis
from domain.kubernetes import Manifest, Snapshot
from domain.spec import ClusterSpec
from domain.status import Observation
from planning.kubernetes import objects
from planning.manifests.yaml_output import LAST_APPLIED
from planning.plan.diff import SERVER_OWNED
from planning.text.sanitize import MASK, scrub

MAX_BUNDLE_BYTES = 5_000_000  # bytes of JSON
LOG_LIMIT = 100_000  # characters of one log, or of any other text; its end is kept
MAX_LOGS = 20  # pods whose logs are read
_KEPT = {"creationTimestamp", "uid", "generation"}  # they join and date what is in a bundle
# What is cut first when a bundle is too large, by halves, its oldest part first.
_CUTTABLE = ("neighbours", "events", "nodes", "replica_sets", "pods")


def compose(
    spec: ClusterSpec, snapshot: Snapshot, observed: Observation, findings: list[Diagnosis], logs: Mapping[str, str]
) -> dict[str, Any]:
    """Compose one JSON document; `logs` are by pod, those before the last restart as `<pod> (previous)`."""
    texts = snapshot.logs | dict(logs)
    document = {
        "findings": [found.model_dump(mode="json") for found in findings],
        "observed": observed.model_dump(mode="json"),
        "spec": spec.model_dump(mode="json"),
        **snapshot.model_dump(mode="json"),
        "logs": {pod: _end(text) for pod, text in texts.items()},
    }
    kept, left_out = _fitting(document)  # before it is cleaned, which costs a second a megabyte
    return {part: _clean(value) for part, value in kept.items()} | {"left_out": left_out}


def worth_reading(pods: list[Manifest]) -> list[tuple[str, bool]]:
    """Return the pods whose logs matter, those that ended or restarted first, which have a previous log (True)."""
    ranked = sorted(
        ((_restarts(pod), not objects.ready(pod), objects.name(pod)) for pod in pods),
        key=lambda row: (not row[0], not row[1]),
    )
    return [(name, restarts > 0) for restarts, _, name in ranked[:MAX_LOGS]]


def _restarts(pod: Manifest) -> int:
    return sum(int(container.get("restartCount") or 0) for container in objects.container_statuses(pod))


def _clean(value: Any) -> Any:
    """Remove managed fields, values of variables, contents of Secrets, and whatever looks like a credential."""
    if isinstance(value, list):
        return [_clean(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _field(value, key) for key in value if not _server_owned(value, key)}
    return scrub(_end(value)) if isinstance(value, str) else value


def _end(text: str) -> str:
    """Cut a text at its beginning, at the start of a line: half a credential might not be recognised."""
    return text if len(text) <= LOG_LIMIT else text[-LOG_LIMIT:].partition("\n")[2]


def _server_owned(holder: dict[str, Any], key: str) -> bool:
    return key == LAST_APPLIED or (key in SERVER_OWNED and key not in _KEPT and "name" in holder)


def _field(holder: dict[str, Any], key: str) -> Any:
    value = holder[key]
    if key in ("env", "args", "command") and isinstance(value, list):
        return [_variable(entry) for entry in value]
    if key in ("data", "stringData") and isinstance(value, dict):
        return dict.fromkeys(value, MASK)
    return _clean(value)


def _variable(entry: Any) -> Any:
    """Return the name of a variable, or the source of its value; never the value, nor an argument."""
    if not isinstance(entry, dict):
        return MASK
    return {key: MASK if key == "value" else _clean(value) for key, value in entry.items()}


def _fitting(document: dict[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
    """Cut the document to MAX_BUNDLE_BYTES; return it with the number of entries left out of each part."""
    left_out: dict[str, int] = {}
    while _size(document) > MAX_BUNDLE_BYTES:
        part = next((name for name in _CUTTABLE if document.get(name)), "logs")
        kept = document[part]
        if not kept:
            break
        if isinstance(kept, dict):
            document[part] = dict(list(kept.items())[: len(kept) // 2])
        else:
            document[part] = kept[(len(kept) + 1) // 2 :]
        left_out[part] = left_out.get(part, 0) + len(kept) - len(document[part])
    return document, left_out


def _size(document: dict[str, Any]) -> int:
    return len(json.dumps(document, ensure_ascii=False).encode(errors="replace"))
