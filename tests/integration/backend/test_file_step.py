"""Files made from templates: only variables are replaced, at once, inside the repository, never through a link."""

import errno
import os
from pathlib import Path

import pytest

from clients.backend.job import Job
from clients.backend.steps.file import write
from domain.errors import SettingsInvalid, StepFailed
from domain.profile import StepState
from tests.support.backend.jobs import job_in

_TEMPLATE = b"port: ${PORT}\r\nmoney: $$5\nshell: $HOME ${X:-y} $(date) ${}\nraw: \xff\nroot: ${ROOT}"
_RESULT = b"port: 50055\r\nmoney: $5\nshell: $HOME ${X:-y} $(date) ${}\nraw: \xff\nroot: 0x${PORT}"
_VARIABLES = {"PORT": "50055", "ROOT": "0x${PORT}"}


def _job(folder: Path, to: str = "out/config.yaml", *, template: bytes | None = None, mode: str = "0644") -> Job:
    job = job_in(folder, variables=_VARIABLES, file={"template": "config.in", "to": to, "mode": mode})
    (job.directory / "config.in").write_bytes(_TEMPLATE if template is None else template)
    return job


def test_only_variables_are_replaced(tmp_path: Path) -> None:
    """Everything else stays byte for byte, and a value is not looked into again; parents are made."""
    job = _job(tmp_path, mode="0640")
    status = write(job)
    made = job.repo / "out/config.yaml"
    assert (status.state, status.kind, status.detail) == (StepState.DONE, "file", str(made))
    assert made.read_bytes() == _RESULT
    assert made.stat().st_mode & 0o7777 == 0o640
    assert sorted(path.name for path in made.parent.iterdir()) == ["config.yaml"]


def test_an_unchanged_file_is_left_alone(tmp_path: Path) -> None:
    """It is skipped, and keeps its time stamp; another content or mode is written."""
    write(_job(tmp_path))
    made = tmp_path / "repo/out/config.yaml"
    os.utime(made, (1, 1))
    status = write(_job(tmp_path))
    assert (status.state, status.detail, made.stat().st_mtime) == (StepState.SKIPPED, "unchanged", 1)
    assert write(_job(tmp_path, mode="0600")).state == StepState.DONE
    assert write(_job(tmp_path, mode="0600", template=b"new")).state == StepState.DONE
    assert made.read_bytes() == b"new"


def test_text_in_the_profile_is_written_as_it_is(tmp_path: Path) -> None:
    """It was filled in together with the step's other texts; a second time would spoil `$$`."""
    write(job_in(tmp_path, variables=_VARIABLES, file={"text": "cost: ${PORT} $$\n", "to": "it"}))
    assert (tmp_path / "repo/it").read_text() == "cost: ${PORT} $$\n"


def test_unknown_variables_are_named_with_their_lines(tmp_path: Path) -> None:
    """All at once, and nothing is written."""
    with pytest.raises(StepFailed) as caught:
        write(_job(tmp_path, template=b"a: ${PORT}\nb: ${ADDR}\n\nc: ${FEE} ${ADDR}\n"))
    assert "line 2 uses ${ADDR}, line 4 uses ${FEE}, line 4 uses ${ADDR}" in caught.value.diagnosis.because
    assert caught.value.diagnosis.on == str(tmp_path / "repo/config.in")
    assert not (tmp_path / "repo/out").exists()


@pytest.mark.parametrize("to", ["../outside", "/etc/proverctl-test", "link/file", "a/../../x", ".", "a/.."])
def test_a_path_out_of_the_repository(tmp_path: Path, to: str) -> None:
    """Neither by its text nor by a link on the way, and no folder is made outside."""
    job = _job(tmp_path, to)
    (tmp_path / "elsewhere").mkdir()
    (job.repo / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SettingsInvalid, match="leads out of the repository"):
        write(job)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "repo"]
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_link_in_place_of_the_file_is_replaced(tmp_path: Path) -> None:
    """What it leads to stays as it is."""
    job, victim = _job(tmp_path, "out"), tmp_path / "victim"
    victim.write_text("mine")
    (job.repo / "out").symlink_to(victim)
    write(job)
    assert victim.read_text() == "mine"
    assert not (job.repo / "out").is_symlink()
    assert (job.repo / "out").read_bytes() == _RESULT


def test_a_link_within_the_repository_may_be_on_the_way(tmp_path: Path) -> None:
    """It leads where we may write."""
    job = _job(tmp_path, "link/deep/out")
    (job.repo / "real").mkdir()
    (job.repo / "link").symlink_to("real")
    write(job)
    assert (job.repo / "real/deep/out").read_bytes() == _RESULT


def test_the_backends_own_data_may_be_written(tmp_path: Path) -> None:
    """A file may go under BACKEND_DATA, which is made if it lacks."""
    data = tmp_path / "state/data"
    file = {"text": "x", "to": f"{data}/conf/it"}
    assert write(job_in(tmp_path, variables={"BACKEND_DATA": str(data)}, file=file)).state == StepState.DONE
    assert (data / "conf/it").read_text() == "x"


def test_a_template_that_lacks_or_leads_out(tmp_path: Path) -> None:
    """Each is named."""
    job = _job(tmp_path)
    (job.repo / "config.in").unlink()
    with pytest.raises(StepFailed, match="No such file or directory"):
        write(job)
    (job.repo / "config.in").symlink_to("/etc/hostname")
    with pytest.raises(SettingsInvalid, match=r"file\.template .* leads out"):
        write(job)


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    """Is named, and no half-written file is left."""
    job = _job(tmp_path, "out")
    (job.repo / "out").mkdir()
    with pytest.raises(StepFailed, match="Is a directory"):
        write(job)
    assert sorted(path.name for path in job.repo.iterdir()) == ["config.in", "out"]


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old content stays, no draft is left, and the same step succeeds once there is room."""
    write(_job(tmp_path))
    job = _job(tmp_path, template=b"new")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(StepFailed, match="No space left on device"):
            write(job)
    made = job.repo / "out/config.yaml"
    assert made.read_bytes() == _RESULT
    assert [path.name for path in made.parent.iterdir()] == ["config.yaml"]
    assert write(job).state == StepState.DONE
    assert made.read_bytes() == b"new"


def test_what_a_killed_writer_left_is_overwritten(tmp_path: Path) -> None:
    """Its draft disappears with the next run."""
    job = _job(tmp_path)
    (job.repo / "out").mkdir()
    (job.repo / "out/.config.yaml.one.new").write_text("half of it and much longer than the whole " * 20)
    write(job)
    assert [path.name for path in (job.repo / "out").iterdir()] == ["config.yaml"]
    assert (job.repo / "out/config.yaml").read_bytes() == _RESULT
