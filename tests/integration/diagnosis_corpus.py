"""Writes what was seen of a reproduced row into the corpus of the unit tests: small, and with its verdict."""

import json
from pathlib import Path
from typing import Any

from tests.integration.diagnosis_case import STAGE, Verdict

CORPUS = Path(__file__).parents[1] / "unit" / "planning" / "corpus"
_METADATA = (
    "name",
    "namespace",
    "uid",
    "labels",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "finalizers",
    "ownerReferences",
)
_ANNOTATIONS = ("deployment.kubernetes.io/revision", "prover-cluster/config-hash")
_DROPPED = {"managedFields", "volumes", "volumeMounts", "terminationMessagePath", "dnsPolicy", "hostIPs", "podIPs"}


def record(name: str, autoscale: bool, image: str, seen: Verdict) -> None:
    """One file a row."""
    assert seen.found is not None
    content = {
        "code": seen.found.code,
        "severity": seen.found.severity.value,
        "verdict": str(seen.found),
        "seconds": round(seen.lag, 2),
        "autoscale": autoscale,
        "stage": STAGE,
        "image": image,
        "snapshot": _slim(seen.snapshot.model_dump(mode="json")),
    }
    CORPUS.mkdir(exist_ok=True)
    (CORPUS / f"{name}.json").write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")


def _slim(found: Any) -> Any:
    if isinstance(found, list):
        return [_slim(one) for one in found]
    if not isinstance(found, dict):
        return found
    kept = {key: _slim(value) for key, value in found.items() if key not in _DROPPED and value not in (None, {}, [])}
    if isinstance(found.get("metadata"), dict):
        metadata = found["metadata"]
        kept["metadata"] = {key: metadata[key] for key in _METADATA if metadata.get(key)}
        annotations = {key: value for key, value in (metadata.get("annotations") or {}).items() if key in _ANNOTATIONS}
        kept["metadata"] |= {"annotations": annotations} if annotations else {}
    return kept
