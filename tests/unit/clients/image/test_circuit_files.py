"""Files of a circuit that must not become an image, each named with what is wrong with it."""

import os
import struct
import subprocess
from pathlib import Path

import pytest

from clients.image.circuit import circuit_entries, has_lagrange
from domain.errors import ImageInputMissing
from domain.spec import ConfigSchema


def r1cs(*sections: bytes) -> bytes:
    """iden3's format."""
    parts = [struct.pack("<IQ", kind, len(content)) + content for kind, content in enumerate(sections, 1)]
    return b"r1cs" + struct.pack("<II", 1, len(sections)) + b"".join(parts)


def srs(first: int, second: int = 2) -> bytes:
    """A reference string of so many points."""
    return struct.pack(">Q", first) + bytes(64 * first) + struct.pack(">Q", second) + bytes(128 * second)


GOOD = {"circuit.r1cs": r1cs(b"x" * 64, b"y" * 120), "mon.key": srs(16), "lag.key": srs(8), "vk.bin": b"vk"}


def circuit(top: Path, **changes: bytes) -> Path:
    """A repository whose circuit is whole but for these files."""
    folder = top / "circuit"
    folder.mkdir(parents=True)
    for name, content in (GOOD | changes).items():
        (folder / name).write_bytes(content)
    return folder


def faults(top: Path, schema: ConfigSchema = ConfigSchema.AUTO) -> list[str]:
    """The sentences."""
    with pytest.raises(ImageInputMissing) as caught:
        circuit_entries(str(top), "circuit", schema)
    assert caught.value.diagnosis.on == "CIRCUIT_DIR=circuit"
    return caught.value.diagnosis.what.split("; ")


def test_whole_keys_are_taken(tmp_path: Path) -> None:
    """And keys of other formats are not judged by this one's."""
    circuit(tmp_path, **{"gnark.key": b"\0\0\0\x13" + bytes(99), "odd.r1cs": b"plonk", "tiny.key": b"k"})
    entries = circuit_entries(str(tmp_path), "circuit")
    assert len(entries) == 7
    assert has_lagrange(entries)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("circuit.r1cs", GOOD["circuit.r1cs"][:-1], "is truncated: it has 219 bytes of 220"),
        ("circuit.r1cs", GOOD["circuit.r1cs"][:80], "is truncated: it has 80 bytes of at least 100"),
        ("circuit.r1cs", b"r1cs\x01", "is truncated: it has 5 bytes of 12"),
        ("circuit.r1cs", GOOD["circuit.r1cs"] + b"!", "is damaged: it has 221 bytes where 220 are due"),
        ("circuit.r1cs", b"r1cs" + struct.pack("<II", 1, 10**9), "is damaged: it claims to have 1000000000 sections"),
        (
            "circuit.r1cs",
            b"r1cs" + struct.pack("<IIIQ", 1, 1, 1, 2**63),
            f"is truncated: it has 24 bytes of {2**63 + 24}",
        ),
        ("mon.key", srs(16)[:-1], "is truncated: it has 1295 bytes of 1296"),
        ("mon.key", srs(16)[:500], "is truncated: it has 500 bytes of at least 1040"),
        ("lag.key", srs(8) + b"more", "is damaged: it has 788 bytes where 784 are due"),
        ("vk.bin", b"", "is empty"),
        ("vk.bin", b"version https://git-lfs.github.com/spec/v1\nsize 9\n", "is a git-LFS pointer, not the file"),
    ],
)
def test_a_file_that_is_not_whole(tmp_path: Path, name: str, content: bytes, why: str) -> None:
    """By its own numbers, without reading it."""
    circuit(tmp_path, **{name: content})
    assert faults(tmp_path) == [f"{name} {why}"]


def test_everything_that_is_no_file(tmp_path: Path) -> None:
    """Pipes, links that lead nowhere, out or in a circle, names that nobody can read; all at once, without waiting."""
    folder = circuit(tmp_path / "repo")
    (tmp_path / "outside.bin").write_text("secret")
    os.mkfifo(folder / "pipe.key")
    (folder / "gone.key").symlink_to("nowhere")
    (folder / "loop.key").symlink_to("loop.key")
    (folder / "out.key").symlink_to(tmp_path / "outside.bin")
    (folder / "nul.bin").symlink_to("/dev/null")
    (folder / "two\nlines.bin").write_text("x")
    Path(os.fsdecode(bytes(folder) + b"/\xff.key")).write_text("x")
    top = tmp_path / "repo"
    assert faults(top) == [
        f"gone.key is a link to {folder / 'nowhere'}, which does not exist",
        "loop.key is a link that leads to itself",
        "nul.bin is a link out of the repository, to /dev/null",
        f"out.key is a link out of the repository, to {tmp_path / 'outside.bin'}",
        "pipe.key is no file",
        "two\\nlines.bin has a name that is no printable text: rename it",
        "\\udcff.key has a name that is no printable text: rename it",
    ]


def test_a_file_that_the_worker_may_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before hours of reading the others."""
    circuit(tmp_path)
    real = os.open

    def refusing(path: str, *rest: int) -> int:
        if str(path).endswith("vk.bin"):
            raise PermissionError(13, "Permission denied")
        return real(path, *rest)

    monkeypatch.setattr(os, "open", refusing)
    assert faults(tmp_path) == ["vk.bin cannot be read by the worker: Permission denied"]


def test_a_key_that_git_lfs_knows_to_be_larger(tmp_path: Path) -> None:
    """An interrupted download: HEAD has the pointer, and the pointer the size."""
    folder = circuit(tmp_path)
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 40\n"
    (folder / "vk.bin").write_bytes(pointer)
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for words in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "keys"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    (folder / "vk.bin").write_bytes(bytes(39))
    assert faults(tmp_path) == ["vk.bin has 39 bytes, and its git-LFS pointer in HEAD says 40"]
    (folder / "vk.bin").write_bytes(bytes(40))
    assert circuit_entries(str(tmp_path), "circuit")


def witness(folder: Path, mode: int = 0o755) -> None:
    """The program that a client of the struct schema runs."""
    (folder / "circuit_cpp").mkdir()
    (folder / "circuit_cpp" / "circuit").write_text("#!")
    (folder / "circuit_cpp" / "circuit").chmod(mode)


@pytest.mark.parametrize("mode", [None, 0o644])
def test_the_struct_schema_needs_the_witness_generator(tmp_path: Path, mode: int | None) -> None:
    """Executable; the client would take tasks and never prove one."""
    folder = circuit(tmp_path)
    if mode:
        witness(folder, mode)
    lacks = "that file is not executable" if mode else "the circuit has no such executable"
    assert faults(tmp_path, ConfigSchema.STRUCT) == [
        f"CLIENT_CONFIG_SCHEMA=struct makes the client run circuit_cpp/circuit, and {lacks}"
    ]


def test_a_witness_generator_that_is_not_executable_has_its_own_remedy(tmp_path: Path) -> None:
    """It is there: nothing has to be compiled."""
    witness(circuit(tmp_path), 0o644)
    with pytest.raises(ImageInputMissing, match=r"Do: chmod \+x circuit/circuit_cpp/circuit\."):
        circuit_entries(str(tmp_path), "circuit", ConfigSchema.STRUCT)


def test_the_flat_schema_does_not_fit_what_was_made_for_the_other(tmp_path: Path) -> None:
    """With its own lag.key it does, whatever else is there; without both nobody can tell."""
    folder = circuit(tmp_path)
    witness(folder)
    assert circuit_entries(str(tmp_path), "circuit", ConfigSchema.FLAT)
    (folder / "lag.key").unlink()
    told = (
        "the circuit is laid out for the struct schema (circuit_cpp/circuit, no lag.key), and"
        " CLIENT_CONFIG_SCHEMA=flat is of clients before it"
    )
    assert faults(tmp_path, ConfigSchema.FLAT) == [told]
    entries = circuit_entries(str(tmp_path), "circuit", ConfigSchema.STRUCT)
    assert not has_lagrange(entries)
    (folder / "circuit_cpp" / "circuit").unlink()
    assert circuit_entries(str(tmp_path), "circuit", ConfigSchema.FLAT)
