"""Evidence is on the worker's disk for its user alone, whole or not at all, and never fills the disk."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from clients.system import evidence
from clients.system.evidence import EvidenceFiles
from domain.errors import Unavailable
from sandbox.settings import REPOSITORY


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


def test_a_worker_that_is_killed_leaves_whole_bundles_only(tmp_path: Path) -> None:
    """SIGKILL in the middle of writing: what has its final name can be read."""
    program = (
        "import sys; from pathlib import Path; from clients.system.evidence import EvidenceFiles\n"
        "files = EvidenceFiles(Path(sys.argv[1]))\n"
        "while True: print(files.keep('one', {'noise': list(range(200_000))}), flush=True)"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    for _ in range(3):
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY) as worker:
            assert worker.stdout is not None
            assert worker.stdout.readline()
            worker.kill()
    whole = list((tmp_path / "evidence").glob("*.json.gz"))
    assert len(whole) >= 3
    assert {len(json.loads(gzip.decompress(path.read_bytes()))["noise"]) for path in whole} == {200_000}


def test_a_disk_that_does_not_take_it_is_named(tmp_path: Path) -> None:
    """With the setting that moves the directory."""
    (tmp_path / "evidence").write_text("in the way")
    with pytest.raises(Unavailable, match="PROVER_STATE_DIR"):
        EvidenceFiles(tmp_path).keep("one", {})
