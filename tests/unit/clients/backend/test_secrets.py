"""How a worker resolves the secrets of a backend's step."""

from pathlib import Path

import pytest

from clients.backend.secrets import resolved
from domain.errors import CredentialsMissing


def test_variable_and_file(tmp_path: Path) -> None:
    """Only the names asked for are read; a file's last line break is not part of the value, other space is."""
    file = tmp_path / "key"
    file.write_text(" a b \n")
    references = {"DB": "env:DB_PASSWORD", "KEY": f"file:{file}", "OTHER": "env:ABSENT"}
    assert resolved(["DB", "KEY"], references, {"DB_PASSWORD": "x=y"}) == {"DB": "x=y", "KEY": " a b "}


def test_all_that_lacks_is_told_at_once(tmp_path: Path) -> None:
    """Each secret with its reference and why; a value written in place of a reference is not repeated."""
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    references = {
        "A": "env:UNSET",
        "B": "env:EMPTY",
        "C": f"file:{tmp_path}/absent",
        "D": "canary",
        "E": f"file:{tmp_path}/empty",
        "F": f"file:{tmp_path}/binary",
    }
    with pytest.raises(CredentialsMissing) as caught:
        resolved([*references, "G"], references, {"EMPTY": "", "D": "canary"})
    assert caught.value.diagnosis.because.split("; ") == [
        "A: env:UNSET is not set",
        "B: env:EMPTY is not set",
        f"C: file:{tmp_path}/absent: No such file or directory",
        "D: its reference is neither env:NAME nor file:PATH",
        f"E: file:{tmp_path}/empty: it is empty",
        f"F: file:{tmp_path}/binary: it is not text",
        "G: its reference is neither env:NAME nor file:PATH",
    ]
    assert "canary" not in str(caught.value)
    assert caught.value.diagnosis.on.startswith("worker ")
