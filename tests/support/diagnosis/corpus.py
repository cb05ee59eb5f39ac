"""Writes what was seen of a reproduced row into the corpus of the unit tests: small, and with its verdict."""

import json
from typing import Any

from sandbox.settings import REPOSITORY
from tests.support.diagnosis.case import STAGE, Verdict

CORPUS = REPOSITORY / "tests" / "unit" / "planning" / "diagnosis" / "corpus"
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
_DROPPED = frozenset(
    {
        *("managedFields", "apiVersion", "resourceVersion", "fieldPath", "blockOwnerDeletion", "revisionHistoryLimit"),
        *("volumes", "volumeMounts", "terminationMessagePath", "terminationMessagePolicy", "dnsPolicy", "qosClass"),
        *("hostIP", "hostIPs", "podIP", "podIPs", "containerID", "securityContext", "automountServiceAccountToken"),
        *("enableServiceLinks", "preemptionPolicy", "restartPolicy", "schedulerName", "serviceAccount"),
        *("serviceAccountName", "imagePullPolicy", "protocol"),
    }
)
_OF_EVENTS = ("involvedObject", "reason", "message", "count", "firstTimestamp", "lastTimestamp", "eventTime", "series")


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
        "snapshot": {  # an empty part was read, and held nothing
            part: _slim(found) for part, found in seen.snapshot.model_dump(mode="json").items() if found is not None
        },
    }
    CORPUS.mkdir(exist_ok=True)
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    (CORPUS / f"{name}.json").write_text(text.replace('"snapshot":', '\n"snapshot":') + "\n")


def _slim(found: Any) -> Any:
    if isinstance(found, list):
        return [_slim(one) for one in found]
    if not isinstance(found, dict):
        return found
    if "involvedObject" in found:
        created = {"metadata": {"creationTimestamp": found["metadata"].get("creationTimestamp")}}
        found = {key: found[key] for key in _OF_EVENTS if key in found} | created
    kept = {key: _slim(value) for key, value in found.items() if key not in _DROPPED and value not in (None, {}, [])}
    if isinstance(found.get("metadata"), dict):
        metadata = found["metadata"]
        kept["metadata"] = {key: metadata[key] for key in _METADATA if metadata.get(key)}
        annotations = {key: value for key, value in (metadata.get("annotations") or {}).items() if key in _ANNOTATIONS}
        kept["metadata"] |= {"annotations": annotations} if annotations else {}
    return kept
