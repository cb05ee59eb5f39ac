"""Keeps evidence bundles on the worker's own disk, readable by its user alone, so that they never enter Temporal."""

import gzip
import json
import os
import re
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from domain.errors import Unavailable

KEEP = 50  # the newest bundles
SUFFIX = ".json.gz"
_PART = ".part"  # what a worker that was killed while writing leaves behind


class EvidenceFiles:
    """Fulfils `domain.ports.Evidence` with files `<name>.json.gz` in one directory."""

    def __init__(self, state_dir: Path) -> None:
        """Nothing is made before the first bundle."""
        self.directory = state_dir / "evidence"

    def keep(self, name: str, content: Mapping[str, Any]) -> str:
        """Write the bundle atomically and return its path; Unavailable when the disk does not take it."""
        try:
            return str(self._write(_plain(name), content))
        except OSError as error:
            raise Unavailable(
                "the evidence could not be written",
                on=str(self.directory),
                because=error.strerror or str(error),
                do="make room there, or point PROVER_STATE_DIR of the worker to a directory that it may write",
                code="EVIDENCE",
            ) from None

    def _write(self, name: str, content: Mapping[str, Any]) -> Path:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        number, path = tempfile.mkstemp(prefix=f"{name}-", suffix=_PART, dir=self.directory)  # 0600, and never twice
        unfinished = Path(path)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(packed(content))
                file.flush()
                os.fsync(file.fileno())
            finished = unfinished.with_suffix(SUFFIX)
            unfinished.replace(finished)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        self._prune()
        return finished

    def _prune(self) -> None:
        """Delete the oldest bundles, and unfinished ones older than a kept bundle."""
        found = sorted(self.directory.iterdir(), key=_written, reverse=True)
        for path in found[KEEP:]:
            path.unlink(missing_ok=True)


def packed(content: Mapping[str, Any]) -> bytes:
    """Return the bundle as gzipped JSON."""
    return gzip.compress(json.dumps(content, ensure_ascii=False).encode(errors="replace"))


def _written(path: Path) -> float:
    with suppress(FileNotFoundError):  # another process prunes, too
        return path.stat().st_mtime
    return 0.0


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name)[:100]
