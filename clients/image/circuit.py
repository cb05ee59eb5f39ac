"""Files of the circuit directory that go into the image, and the faults that prevent a build."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from clients.image import circuit_files
from clients.image.circuit_files import shown
from clients.image.layers import LayerFile
from clients.registry.content import stamp
from domain.errors import ImageInputMissing
from domain.spec import ConfigSchema
from planning.text.listing import listed

_TARGET = "opt/circuit"
_REQUIRED = ("circuit.r1cs", "mon.key", "vk.bin")
_SUFFIXES = (".r1cs", ".key", ".bin")
_SHARED = "mon.key"  # the original keeps it in two places
_LAGRANGE = "lag.key"
_WITNESS = "circuit_cpp/circuit"  # what a client of the struct schema runs for each proof
_EXECUTABLE = 0o111
_SHOWN = 20  # faults in one sentence


def circuit_entries(repo: str, circuit_dir: str, schema: ConfigSchema = ConfigSchema.AUTO) -> list[LayerFile]:
    """Return the files by suffix, executables by mode and the data beside them; ImageInputMissing names all faults.

    `schema` is what the client will be given; AUTO does not judge whether the files fit it.
    """
    if not repo or not circuit_dir:
        setting = "CIRCUIT_DIR" if repo else "BACKEND_REPO"
        raise _missing("no circuit directory is given", circuit_dir, f"set {setting}, or circuit_dir in the profile")
    top = Path(repo).expanduser().resolve()
    root = (top / circuit_dir).resolve()
    if not root.is_relative_to(top):
        raise _missing(f"{root} is outside the repository {top}", circuit_dir, "keep the circuit in the repository")
    if not root.is_dir():
        raise _missing(f"directory {root} does not exist", circuit_dir, "run the set-up step that writes it")
    found = _Found(root, top)
    if found.faults:
        raise _missing(
            listed(found.faults, _SHOWN, "; "),
            circuit_dir,
            "run the set-up step that writes it (for git-LFS: git lfs pull in that directory)",
        )
    _check_schema(found.entries, root, circuit_dir, schema)
    return found.entries


def has_lagrange(entries: Sequence[LayerFile]) -> bool:
    """Whether the image holds lag.key, so that the client can be told of it."""
    return any(entry.name == f"{_TARGET}/{_LAGRANGE}" for entry in entries)


class _Found:
    """The files of a circuit directory, and a sentence for everything wrong with them."""

    def __init__(self, root: Path, top: Path) -> None:
        self._root = root
        self._top = top
        self._wrong: dict[str, str] = {}
        self.entries: list[LayerFile] = []
        promised = circuit_files.promised_sizes(root)
        for path in self._selected():
            self._take(path, promised)
        self._wrong |= {name: f"is missing in {root}" for name in _REQUIRED if not self._has(name)}
        self.faults = circuit_files.named(self._wrong)

    def _has(self, name: str) -> bool:
        return name in self._wrong or any(entry.name == f"{_TARGET}/{name}" for entry in self.entries)

    def _selected(self) -> list[Path]:
        found: set[Path] = set()
        for folder, folders, files in os.walk(self._root, onerror=self._unreadable):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for path in (Path(folder, name) for name in files):
                if path.suffix in _SUFFIXES:
                    found.add(path)
                elif path.is_file() and path.stat().st_mode & _EXECUTABLE:
                    found.add(path)
                    data = path.with_name(f"{path.name}.dat")  # a circom witness generator reads it from beside itself
                    found |= {data} if data.is_file() else set()
        return sorted(found)

    def _unreadable(self, error: OSError) -> None:
        self._wrong[self._name(Path(error.filename))] = f"cannot be listed: {error.strerror}"

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self._root))

    def _take(self, path: Path, promised: dict[str, int]) -> None:
        name = self._name(path)
        fault = self._fault(path, promised.get(name))
        if fault:
            self._wrong[name] = fault
            return
        found = path.stat()
        # World-readable whatever the umask was: the client may run as any user, and one digest must come out.
        mode = 0o755 if found.st_mode & _EXECUTABLE else 0o644
        also = f"opt/{_SHARED}" if name == _SHARED else ""
        self.entries.append(LayerFile(path.resolve(), f"{_TARGET}/{name}", found.st_size, mode, also, stamp(found)))

    def _fault(self, path: Path, promised: int | None) -> str:
        try:
            real = path.resolve()
        except (OSError, RuntimeError):  # what Python makes of links in a circle
            return "is a link that leads to itself"
        if not self._name(path).isprintable():
            return "has a name that is no printable text: rename it"
        if not real.is_relative_to(self._top):
            return f"is a link out of the repository, to {shown(str(real))}"
        if not real.exists():
            return f"is a link to {shown(str(real))}, which does not exist"
        if not stat.S_ISREG(real.stat().st_mode):
            return "is no file"
        return circuit_files.fault(real, promised)


def _check_schema(entries: Sequence[LayerFile], root: Path, circuit_dir: str, schema: ConfigSchema) -> None:
    """Check that the files fit the schema of the client's configuration."""
    witness = any(entry.name == f"{_TARGET}/{_WITNESS}" and entry.mode & _EXECUTABLE for entry in entries)
    if schema is ConfigSchema.STRUCT and not witness and (root / _WITNESS).is_file():
        raise _missing(
            f"CLIENT_CONFIG_SCHEMA={schema} makes the client run {_WITNESS}, and that file is not executable",
            circuit_dir,
            f"chmod +x {circuit_dir}/{_WITNESS}",
        )
    if schema is ConfigSchema.STRUCT and not witness:
        raise _missing(
            f"CLIENT_CONFIG_SCHEMA={schema} makes the client run {_WITNESS}, and the circuit has no such executable",
            circuit_dir,
            "compile the circuit's witness generator, or set CLIENT_CONFIG_SCHEMA=flat for a client of that schema",
        )
    if schema is ConfigSchema.FLAT and witness and not has_lagrange(entries):
        raise _missing(
            f"the circuit is laid out for the {ConfigSchema.STRUCT} schema ({_WITNESS}, no {_LAGRANGE}), and"
            f" CLIENT_CONFIG_SCHEMA={schema} is of clients before it",
            circuit_dir,
            "set CLIENT_CONFIG_SCHEMA=struct, or add the lag.key of a set-up for the flat schema",
        )


def _missing(what: str, circuit_dir: str, do: str) -> ImageInputMissing:
    return ImageInputMissing(what, on=f"CIRCUIT_DIR={circuit_dir}", do=do)
