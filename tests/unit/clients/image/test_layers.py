"""Circuit files as layers: deterministic, readable by tar, and refused when a file is not what it should be."""

import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest

from clients.image import layers
from clients.image.circuit import circuit_entries
from clients.image.layers import LayerFile
from clients.registry.content import length, packed, read, unpacked
from domain.errors import ImageInputMissing, Unavailable


def _circuit(repo: Path, mode: int = 0o644) -> Path:
    circuit = repo / "circuit"
    (circuit / "circuit_cpp").mkdir(parents=True)
    for name in ("circuit.r1cs", "mon.key", "vk.bin", "notes.txt", "circuit_cpp/circuit", "circuit_cpp/circuit.dat"):
        (circuit / name).write_bytes(name.encode() * 100)
        (circuit / name).chmod(mode)
    (circuit / "circuit_cpp" / "circuit").chmod(mode | 0o100)
    return circuit


def _bytes(entries: list[LayerFile]) -> bytes:
    return b"".join(read(layers.pieces(entries)))


def test_the_files_of_an_image(tmp_path: Path) -> None:
    """Keys by suffix, executables by mode, their data beside them; world-readable; mon.key stored once, named twice."""
    _circuit(tmp_path, 0o600)
    with tarfile.open(fileobj=io.BytesIO(_bytes(circuit_entries(str(tmp_path), "circuit")))) as archive:
        found = {member.name: (oct(member.mode), member.linkname, member.mtime, member.uid) for member in archive}
    assert found == {
        "opt": ("0o755", "", 0, 0),
        "opt/circuit": ("0o755", "", 0, 0),
        "opt/circuit/circuit_cpp": ("0o755", "", 0, 0),
        "opt/circuit/circuit.r1cs": ("0o644", "", 0, 0),
        "opt/circuit/circuit_cpp/circuit": ("0o755", "", 0, 0),
        "opt/circuit/circuit_cpp/circuit.dat": ("0o644", "", 0, 0),
        "opt/circuit/mon.key": ("0o644", "", 0, 0),
        "opt/circuit/vk.bin": ("0o644", "", 0, 0),
        "opt/mon.key": ("0o644", "opt/circuit/mon.key", 0, 0),
    }


def test_two_checkouts_give_one_digest(tmp_path: Path) -> None:
    """Directory, times and umask do not matter; the announced size is the real one."""
    digests = set()
    for name, mode in (("one", 0o644), ("two", 0o600)):
        circuit = _circuit(tmp_path / name, mode)
        os.utime(circuit / "vk.bin", (mode, mode))
        entries = circuit_entries(str(tmp_path / name), "circuit")
        content = layers.pieces(entries)
        digests.add(layers.digest(unpacked(packed(content)), lambda _: None))
        assert length(content) == len(_bytes(entries))
    assert digests == {f"sha256:{hashlib.sha256(_bytes(entries)).hexdigest()}"}


def test_a_large_file_has_a_layer_of_its_own(tmp_path: Path) -> None:
    """So that a new verifying key does not send the proving key again."""
    circuit = _circuit(tmp_path)
    with (circuit / "mon.key").open("wb") as file:
        file.truncate(16 << 20)
    groups = layers.group(circuit_entries(str(tmp_path), "circuit"))
    assert [layers.title(group) for group in groups] == ["4 circuit files", "mon.key"]


def test_a_file_that_changes_while_it_is_read(tmp_path: Path) -> None:
    """An early end, a file that is gone and one that became a link are noticed."""
    circuit = _circuit(tmp_path)
    content = layers.pieces(circuit_entries(str(tmp_path), "circuit"))
    key = circuit / "mon.key"
    for change in (lambda: key.write_bytes(b"short"), key.unlink, lambda: key.symlink_to(circuit / "vk.bin")):
        change()
        with pytest.raises(Unavailable, match="changed while it was read"):
            layers.digest(content, lambda _: None)


def test_all_faults_of_a_circuit_directory_at_once(tmp_path: Path) -> None:
    """Absent, empty, a git-LFS pointer and a link out of the repository are all named, with the setting."""
    circuit = _circuit(tmp_path / "repo")
    (tmp_path / "outside.bin").write_text("x")
    (circuit / "circuit.r1cs").unlink()
    (circuit / "vk.bin").write_text("")
    (circuit / "mon.key").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    (circuit / "out.bin").symlink_to(tmp_path / "outside.bin")
    with pytest.raises(ImageInputMissing) as caught:
        circuit_entries(str(tmp_path / "repo"), "circuit")
    found = caught.value.diagnosis
    assert found.on == "CIRCUIT_DIR=circuit"
    assert found.what.split("; ") == [
        f"circuit.r1cs is missing in {circuit}",
        "mon.key is a git-LFS pointer, not the file",
        f"out.bin is a link out of the repository, to {tmp_path / 'outside.bin'}",
        "vk.bin is empty",
    ]


@pytest.mark.parametrize(
    ("circuit_dir", "why"),
    [("", "no circuit directory"), ("../x", "outside the repository"), ("/etc", "outside"), ("gone", "does not exist")],
)
def test_circuit_directories_that_cannot_be(tmp_path: Path, circuit_dir: str, why: str) -> None:
    """Unset, leaving the repository and absent each say so."""
    with pytest.raises(ImageInputMissing, match=why):
        circuit_entries(str(tmp_path), circuit_dir)
