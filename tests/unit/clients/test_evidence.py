"""Evidence is on the worker's disk for its user alone, whole or not at all, and never fills the disk."""

import gzip
import json
import os
from pathlib import Path

import pytest

from clients import evidence
from clients.evidence import EvidenceFiles
from domain.errors import Unavailable


def test_a_bundle_is_kept_for_its_user_alone(tmp_path: Path) -> None:
    """Mode 0600 in a directory of 0700, gzipped JSON, named after what it is of."""
    path = Path(EvidenceFiles(tmp_path).keep("default-../fleet", {"events": ["é"]}))
    assert path.parent == tmp_path / "evidence"
    assert path.name.startswith("default-..-fleet-")
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert json.loads(gzip.decompress(path.read_bytes())) == {"events": ["é"]}


def test_only_the_newest_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed worker left unfinished ages away like the rest."""
    monkeypatch.setattr(evidence, "KEEP", 3)
    files = EvidenceFiles(tmp_path)
    files.directory.mkdir()
    (files.directory / "killed.part").write_bytes(b"half")
    os.utime(files.directory / "killed.part", (1, 1))
    kept = []
    for number in range(5):
        kept.append(Path(files.keep("one", {"number": number})))
        os.utime(kept[-1], (number + 2, number + 2))
    assert sorted(files.directory.iterdir()) == sorted(kept[2:])


def test_two_at_the_same_second_are_two(tmp_path: Path) -> None:
    """Two deployments may fail together."""
    files = EvidenceFiles(tmp_path)
    assert files.keep("one", {}) != files.keep("one", {})


def test_a_disk_that_does_not_take_it_is_named(tmp_path: Path) -> None:
    """With the setting that moves the directory."""
    (tmp_path / "evidence").write_text("in the way")
    with pytest.raises(Unavailable, match="PROVER_STATE_DIR"):
        EvidenceFiles(tmp_path).keep("one", {})
