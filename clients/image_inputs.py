"""Which files of the circuit directory go into the image, and which faults keep it from being built at all."""

import os
from pathlib import Path

from clients.image_layers import Entry
from clients.registry_content import stamp
from domain.errors import ImageInputMissing

_TARGET = "opt/circuit"
_REQUIRED = ("circuit.r1cs", "mon.key", "vk.bin")
_SUFFIXES = (".r1cs", ".key", ".bin")
_SHARED = "mon.key"  # the original keeps it in two places
_POINTER = b"version https://git-lfs"
_POINTER_SIZE = 1024  # bytes; git-lfs's own limit for what it takes for a pointer
_EXECUTABLE = 0o111


def circuit_entries(repo: str, circuit_dir: str) -> list[Entry]:
    """The files by suffix, executables by mode and the data beside them; ImageInputMissing names all faults."""
    if not repo or not circuit_dir:
        setting = "CIRCUIT_DIR" if repo else "BACKEND_REPO"
        raise _missing("no circuit directory is given", circuit_dir, f"set {setting}, or circuit_dir in the profile")
    top = Path(repo).expanduser().resolve()
    root = (top / circuit_dir).resolve()
    if not root.is_relative_to(top):
        raise _missing(f"{root} is outside the repository {top}", circuit_dir, "keep the circuit in the repository")
    if not root.is_dir():
        raise _missing(f"directory {root} does not exist", circuit_dir, "run the set-up step that writes it")
    entries = [_entry(root, path) for path in _selected(root)]
    faults = _faults(root, top, entries)
    if faults:
        raise _missing("; ".join(faults), circuit_dir, "run the set-up step that writes it (for git-LFS: git lfs pull)")
    return entries


def _selected(root: Path) -> list[Path]:
    found: set[Path] = set()
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for path in (Path(folder, name) for name in files):
            if path.suffix in _SUFFIXES and path.exists():
                found.add(path)
            elif path.is_file() and path.stat().st_mode & _EXECUTABLE:
                found.add(path)
                data = path.with_name(f"{path.name}.dat")  # a circom witness generator reads it from beside itself
                found |= {data} if data.is_file() else set()
    return sorted(found)


def _entry(root: Path, path: Path) -> Entry:
    name = f"{_TARGET}/{path.relative_to(root)}"
    also = f"opt/{_SHARED}" if path == root / _SHARED else ""
    found = path.stat()
    # World-readable whatever the umask was: the client may run as any user, and one digest must come out.
    mode = 0o755 if found.st_mode & _EXECUTABLE else 0o644
    return Entry(path.resolve(), name, found.st_size, mode, also, stamp(found))


def _faults(root: Path, top: Path, entries: list[Entry]) -> list[str]:
    names = {entry.name for entry in entries}
    faults = [f"{name} is missing in {root}" for name in _REQUIRED if f"{_TARGET}/{name}" not in names]
    for entry in entries:
        name = entry.name.removeprefix(f"{_TARGET}/")
        if not entry.path.is_relative_to(top):
            faults.append(f"{name} is a link out of the repository, to {entry.path}")
        elif not entry.path.is_file():
            faults.append(f"{name} is no file")
        elif not entry.size:
            faults.append(f"{name} is empty")
        elif entry.size <= _POINTER_SIZE and entry.path.read_bytes().startswith(_POINTER):
            faults.append(f"{name} is a git-LFS pointer, not the file")
    return faults


def _missing(what: str, circuit_dir: str, do: str) -> ImageInputMissing:
    return ImageInputMissing(what, on=f"CIRCUIT_DIR={circuit_dir}", do=do)
