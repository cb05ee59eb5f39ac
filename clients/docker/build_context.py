"""The build context of the base image as one tar: names, content and who may run a file decide, and nothing else.

Two clean checkouts of one commit pack into the same bytes, so the hash of the tar names what is built of it.
"""

import hashlib
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from docker.utils import exclude_paths

from clients.registry.content import ContentChanged, Piece, read
from domain.errors import ImageInputMissing, Unavailable
from domain.spec import DEFAULT_DOCKERFILE
from planning.text.listing import listed
from planning.text.sizes import size

MAX_BYTES = 256 * 10**6  # of all files; a client and what it needs is far smaller, and keys do not belong here
_IGNORE = ".dockerignore"
_NEVER = (".git", "**/.git")
_KEYS = (".key", ".r1cs")
_KEY_BYTES = 1 << 20  # a circuit file of more than this is no toy of a test
_BIGGEST = 3  # files that are named when there is too much
_FAULTS = 5  # that are named
_SHOWN = 12  # files of the directory
_EXECUTABLE = 0o111
_BLOCK = 512
_KEYS_ELSEWHERE = "circuit files become layers of their own (CIRCUIT_DIR)"


class Context(NamedTuple):
    """A packed context; `digest` is the sha256 of the tar in hex, `size` the bytes of its files."""

    setting: str
    pieces: list[Piece]
    digest: str
    files: int
    size: int
    dockerfile: str = DEFAULT_DOCKERFILE

    @property
    def identity(self) -> str:
        """The digest, of the Dockerfile's name too where that is another than usual: one context may hold several."""
        if self.dockerfile == DEFAULT_DOCKERFILE:
            return self.digest
        return hashlib.sha256(f"{self.digest} {self.dockerfile}".encode()).hexdigest()

    def stream(self, check: Callable[[], None]) -> Iterator[bytes]:
        """Yield the tar, read again; Unavailable before its last bytes when the content changed."""
        running, last = hashlib.sha256(), b""
        for chunk in _read(self.pieces, self.setting):
            check()
            running.update(chunk)
            if last:
                yield last
            last = chunk
        if running.hexdigest() != self.digest:
            raise _changed(self.setting, "a file has other content now")
        yield last


def pack(
    repo: str, base_context: str, progress: Callable[[str], None], dockerfile: str = DEFAULT_DOCKERFILE
) -> Context:
    """Hash the context, reading every file once; ImageInputMissing names PROVER_BASE_CONTEXT and all faults.

    `progress` is told by the chunk and may raise. Unavailable when a file changes meanwhile.
    """
    setting = f"PROVER_BASE_CONTEXT={base_context}"
    root = _root(repo, base_context, setting)
    _require(root, dockerfile, setting)
    names = _names(root, dockerfile, setting)
    total = _judge(root, names, setting)
    pieces = [piece for name in names for piece in _entry(root, name)] + [Piece(b"\0" * (2 * _BLOCK))]
    running, done = hashlib.sha256(), 0
    for chunk in _read(pieces, setting):
        running.update(chunk)
        done += len(chunk)
        progress(f"reading the base image's build context {size(done)}")
    files = sum(1 for piece in pieces if piece.path)
    return Context(setting, pieces, running.hexdigest(), files, total, dockerfile)


def _root(repo: str, base_context: str, setting: str) -> Path:
    if not repo:
        raise _missing("there is no repository to build the base image from", setting, "set BACKEND_REPO")
    top = Path(repo).expanduser().resolve()
    root = (top / base_context).resolve()
    if not root.is_relative_to(top):
        raise _missing(f"{root} is outside the repository {top}", setting, "name a directory of the repository")
    if not root.is_dir():
        remedy = f"correct it, or check out the submodule that holds it (git -C {top} submodule update --init)"
        raise _missing(f"directory {root} does not exist", setting, remedy)
    return root


def _require(root: Path, dockerfile: str, setting: str) -> None:
    """Raise ImageInputMissing when the Dockerfile, of whatever name, does not exist."""
    if (root / dockerfile).is_file():
        return
    there = sorted(path.name for path in root.iterdir() if path.is_file())
    raise _missing(
        f"there is no {dockerfile} in {root}",
        f"{setting}, PROVER_BASE_DOCKERFILE={dockerfile}",
        "set PROVER_BASE_DOCKERFILE to the one that builds the client, add it, or unset PROVER_BASE_CONTEXT to use"
        " PROVER_BASE_IMAGE as it is",
        because=f"the directory holds {listed(there, _SHOWN)}" if there else "the directory holds no file",
    )


def _names(root: Path, dockerfile: str, setting: str) -> list[str]:
    """Return the paths that .dockerignore leaves, each directory before its content."""
    try:
        lines = [line.strip() for line in (root / _IGNORE).read_text().splitlines()]
    except FileNotFoundError:
        lines = []
    except (OSError, UnicodeError) as error:
        raise _missing(f"{root / _IGNORE} cannot be read", setting, "make it a text file") from error
    patterns = [line for line in lines if line and not line.startswith("#")]
    found = exclude_paths(str(root), [*patterns, *_NEVER], dockerfile)
    parents = {str(parent) for name in found for parent in PurePosixPath(name).parents if parent.name}
    return sorted(found | parents)


def _judge(root: Path, names: list[str], setting: str) -> int:
    """Bytes of all files."""
    faults = [fault for name in names if (fault := _fault(root, name))]
    if faults:
        raise _missing(listed(faults, _FAULTS, "; "), setting, f"mend them, or list them in {root / _IGNORE}")
    sizes = {name: (root / name).stat().st_size for name in names if _is_file(root / name)}
    keys = [name for name, count in sizes.items() if name.endswith(_KEYS) and count > _KEY_BYTES]
    if keys:
        named = ", ".join(f"{name} ({size(sizes[name])})" for name in keys)
        raise _missing(f"it holds circuit files: {named}", setting, _ignore(root), because=_KEYS_ELSEWHERE)
    total = sum(sizes.values())
    if total > MAX_BYTES:
        biggest = sorted(sizes, key=lambda name: -sizes[name])[:_BIGGEST]
        named = ", ".join(f"{name} ({size(sizes[name])})" for name in biggest)
        what = f"it has {size(total)}, more than {size(MAX_BYTES)}; the biggest files are {named}"
        raise _missing(what, setting, _ignore(root), because=_KEYS_ELSEWHERE)
    return total


def _ignore(root: Path) -> str:
    return f"list what the client does not need in {root / _IGNORE}"


def _fault(root: Path, name: str) -> str:
    path = root / name
    if path.is_symlink():
        target = str(path.readlink())
        reached = os.path.normpath(PurePosixPath(name).parent / target)
        outside = target.startswith("/") or reached.split("/")[0] == ".."
        return f"{name} is a link out of the context, to {target}" if outside else ""
    if path.is_dir():
        return ""
    if not path.is_file():
        return f"{name} is neither file, directory nor link"
    return "" if os.access(path, os.R_OK) else f"{name} cannot be read"


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _entry(root: Path, name: str) -> list[Piece]:
    path = root / name
    head = tarfile.TarInfo(name)  # owner 0 and no time: TarInfo's defaults
    if path.is_symlink():
        head.type, head.mode, head.linkname = tarfile.SYMTYPE, 0o777, str(path.readlink())
        return [Piece(_bytes(head))]
    if path.is_dir():
        head.type, head.mode = tarfile.DIRTYPE, 0o755
        return [Piece(_bytes(head))]
    found = path.stat()
    head.size, head.mode = found.st_size, 0o755 if found.st_mode & _EXECUTABLE else 0o644
    content = [Piece(path=str(path), size=head.size), Piece(b"\0" * (-head.size % _BLOCK))]
    return [Piece(_bytes(head)), *content]


def _bytes(head: tarfile.TarInfo) -> bytes:
    return head.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _read(pieces: list[Piece], setting: str) -> Iterator[bytes]:
    try:
        yield from read(pieces)
    except ContentChanged as error:
        raise _changed(setting, f"{error} is shorter now, or gone") from error


def _changed(setting: str, evidence: str) -> Unavailable:
    return Unavailable(
        "the base image's build context changed while it was read",
        on=setting,
        evidence=evidence,
        do="let whatever writes there finish",
        code="IMAGE_INPUT",
    )


def _missing(what: str, setting: str, do: str, *, because: str = "") -> ImageInputMissing:
    return ImageInputMissing(what, on=setting, because=because, do=do)
