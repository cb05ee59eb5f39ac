"""A build context is packed into the same bytes wherever it lies, and refused when it holds what does not belong."""

import io
import os
import socket
import tarfile
from pathlib import Path

import pytest

from clients.docker import build_context
from clients.docker.build_context import Context
from domain.errors import ImageInputMissing, Unavailable

_SETTING = "PROVER_BASE_CONTEXT=client"


def _repo(folder: Path, mode: int = 0o644) -> Path:
    client = folder / "client"
    (client / "bin").mkdir(parents=True)
    for name, content in {"Dockerfile": "FROM scratch\n", "bin/run": "#!run\n", "notes.md": "hello\n"}.items():
        (client / name).write_text(content)
        (client / name).chmod(mode)
    (client / "bin" / "run").chmod(mode | 0o100)
    (client / "bin" / "also").symlink_to("run")
    return folder


def _pack(repo: Path) -> Context:
    return build_context.pack(str(repo), "client", lambda _: None)


def _content(context: Context) -> bytes:
    return b"".join(context.stream(lambda: None))


def _packed(repo: Path) -> dict[str, str]:
    """Name → mode in octal, with the target of a link."""
    with tarfile.open(fileobj=io.BytesIO(_content(_pack(repo)))) as archive:
        members = list(archive)
    assert {(member.mtime, member.uid, member.gid, member.uname) for member in members} == {(0, 0, 0, "")}
    return {member.name: f"{member.mode:o} {member.linkname}".strip() for member in members}


def test_what_is_packed(tmp_path: Path) -> None:
    """Files by whether they may be run, directories, links as links; never git's own files."""
    repo = _repo(tmp_path, 0o600)
    for place in (".git", "bin/sub/.git"):
        (repo / "client" / place).mkdir(parents=True)
        (repo / "client" / place / "HEAD").write_text("ref: main")
    assert _packed(repo) == {
        "Dockerfile": "644",
        "bin": "755",
        "bin/also": "777 run",
        "bin/run": "755",
        "bin/sub": "755",
        "notes.md": "644",
    }


def test_two_checkouts_pack_alike(tmp_path: Path) -> None:
    """Directory, times and umask do not matter; a byte and an executable bit do."""
    one, two = _repo(tmp_path / "one", 0o644), _repo(tmp_path / "two", 0o600)
    os.utime(two / "client" / "notes.md", (7, 7))
    assert _pack(one).digest == _pack(two).digest
    assert _content(_pack(one)) == _content(_pack(two))
    (two / "client" / "notes.md").chmod(0o755)
    (one / "client" / "notes.md").write_text("hallo\n")
    assert len({_pack(one).digest, _pack(two).digest, _pack(_repo(tmp_path / "three")).digest}) == 3


def test_the_packed_context_counts_files_and_bytes(tmp_path: Path) -> None:
    """For people; progress is told by the chunk."""
    told: list[str] = []
    found = build_context.pack(str(_repo(tmp_path)), "client", told.append)
    assert (found.files, found.size) == (3, len("FROM scratch\n#!run\nhello\n"))
    assert told[-1] == "reading the base image's build context 5 kB"


def test_dockerignore(tmp_path: Path) -> None:
    """Comments, directories and exceptions as in Docker; the Dockerfile is needed whatever it says."""
    repo = _repo(tmp_path)
    (repo / "client" / ".dockerignore").write_text("# all but one\n*\n\n!bin/run\n")
    assert set(_packed(repo)) == {".dockerignore", "Dockerfile", "bin", "bin/run"}


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda client: (client / "Dockerfile").unlink(), ["no Dockerfile", "PROVER_BASE_IMAGE"]),
        (
            lambda client: (client / "Dockerfile").rename(client / "prover.docker"),
            ["no Dockerfile", "PROVER_BASE_DOCKERFILE", "holds notes.md, prover.docker."],
        ),
        (lambda client: client.rename(client.with_name("moved")), ["does not exist", "submodule"]),
        (lambda client: (client / "out").symlink_to("../secret"), ["out is a link out of the context, to ../secret"]),
        (lambda client: (client / "out").symlink_to("/etc/passwd"), ["out is a link", "/etc/passwd"]),
        (lambda client: (client / "bin/out").symlink_to("../../x"), ["bin/out is a link out of the context"]),
        (lambda client: os.mkfifo(client / "pipe"), ["pipe is neither file, directory nor link", ".dockerignore"]),
        (lambda client: (client / "mon.key").write_bytes(b"k" * (2 * 10**6)), ["mon.key (2.0 MB)", "CIRCUIT_DIR"]),
    ],
)
def test_what_does_not_belong_is_refused(tmp_path: Path, break_it: object, words: list[str]) -> None:
    """Each fault names the setting, the file and the remedy."""
    repo = _repo(tmp_path)
    assert callable(break_it)
    break_it(repo / "client")
    with pytest.raises(ImageInputMissing) as caught:
        _pack(repo)
    said = str(caught.value)
    assert [word for word in (_SETTING, *words) if word not in said] == []


def test_another_dockerfile(tmp_path: Path) -> None:
    """It is needed whatever .dockerignore says, and the same context with another one is another image."""
    repo = _repo(tmp_path)
    (repo / "client" / "prover.docker").write_text("FROM scratch\n")
    (repo / "client" / ".dockerignore").write_text("*\n")
    packed = build_context.pack(str(repo), "client", lambda _: None, "prover.docker")
    with tarfile.open(fileobj=io.BytesIO(_content(packed))) as archive:
        assert "prover.docker" in archive.getnames()
    (repo / "client" / ".dockerignore").unlink()
    usual = _pack(repo)
    other = build_context.pack(str(repo), "client", lambda _: None, "prover.docker")
    assert (usual.digest, usual.identity) == (other.digest, usual.digest)
    assert other.identity != usual.identity
    (repo / "client" / "Dockerfile").unlink()
    alone = build_context.pack(str(repo), "client", lambda _: None, "prover.docker")
    assert alone.dockerfile == "prover.docker"
    assert other.identity != usual.identity


def test_too_much_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """The biggest files are named, and why keys are not wanted here; listed in .dockerignore they do not count."""
    repo = _repo(tmp_path)
    for name, size in {"huge.bin": 200 * 10**6, "large.bin": 60 * 10**6, "small.bin": 9}.items():
        with (repo / "client" / name).open("wb") as file:
            file.truncate(size)
    with pytest.raises(ImageInputMissing) as caught:
        _pack(repo)
    said = str(caught.value)
    assert "260 MB, more than 256 MB" in said
    assert "huge.bin (200 MB), large.bin (60.0 MB)" in said
    assert "CIRCUIT_DIR" in said
    (repo / "client" / ".dockerignore").write_text("*.bin\n")
    assert "huge.bin" not in _packed(repo)


def test_many_faults_are_counted(tmp_path: Path) -> None:
    """A message stays readable."""
    repo = _repo(tmp_path)
    for number in range(9):
        (repo / "client" / f"link{number}").symlink_to("/etc/passwd")
    with pytest.raises(ImageInputMissing, match=r"link4 .*; and 4 more"):
        _pack(repo)


@pytest.mark.parametrize("path", ["../elsewhere", "link"])
def test_a_context_outside_the_repository(tmp_path: Path, path: str) -> None:
    """Neither by its name nor through a link."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "Dockerfile").write_text("FROM scratch\n")
    repo = _repo(tmp_path / "repo")
    (repo / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ImageInputMissing, match="is outside the repository"):
        build_context.pack(str(repo), path, lambda _: None)


@pytest.mark.parametrize("content", [b"hallo\n", b"", b"hello, and more\n"])
def test_a_file_that_changes_is_noticed_before_the_end(tmp_path: Path, content: bytes) -> None:
    """Without the last bytes no Engine takes it for whole."""
    repo = _repo(tmp_path)
    packed = _pack(repo)
    whole = _content(packed)
    (repo / "client" / "notes.md").write_bytes(content)
    sent = bytearray()
    with pytest.raises(Unavailable, match=r"IMAGE_INPUT.*changed while it was read"):
        sent.extend(b for chunk in packed.stream(lambda: None) for b in chunk)
    assert len(sent) <= len(whole) - 1024


def test_what_check_raises_ends_the_stream(tmp_path: Path) -> None:
    """A cancelled build sends nothing more."""

    def check() -> None:
        raise KeyboardInterrupt

    packed = _pack(_repo(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        next(packed.stream(check))


def test_a_socket_is_no_content(tmp_path: Path) -> None:
    """Nor anything else that cannot be sent; ignored it does no harm."""
    repo = _repo(tmp_path)
    here = Path.cwd()
    os.chdir(repo / "client")  # the name of a socket may not be long
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("live")
    finally:
        os.chdir(here)
    with pytest.raises(ImageInputMissing, match="live is neither"):
        _pack(repo)
    (repo / "client" / ".dockerignore").write_text("live\n")
    assert "live" not in _packed(repo)
