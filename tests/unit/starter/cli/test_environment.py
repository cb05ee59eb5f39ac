"""Sources of settings by precedence, and paths that a worker elsewhere can understand."""

from pathlib import Path

import pytest

from starter.cli import environment
from starter.cli.exits import Exit


def test_flag_before_file_before_environment_before_dot_env(tmp_path: Path) -> None:
    """Each layer wins over the ones below it; each setting by itself."""
    (tmp_path / ".env").write_text("A=dot\nB=dot\nC=dot\nD=dot\n")
    (tmp_path / "my.env").write_text("A=file\nB=file\n")
    found = environment.merged({"A": "flag"}, "my.env", {"A": "env", "B": "env", "C": "env"}, tmp_path)
    assert found == {"A": "flag", "B": "file", "C": "env", "D": "dot"}


def test_an_empty_value_means_unset_in_every_layer(tmp_path: Path) -> None:
    """An empty value does not hide the layer below."""
    (tmp_path / ".env").write_text("A=dot\nB=\nC\n")
    (tmp_path / "my.env").write_text("A=\n")
    assert environment.merged({"A": "", "B": None}, "my.env", {"A": ""}, tmp_path) == {"A": "dot"}


def test_dollars_stay_as_they_are(tmp_path: Path) -> None:
    """A password is not a template."""
    (tmp_path / ".env").write_text("IMAGE_AUTH_PASSWORD=a$HOME${B}c\nB=x\n")
    assert environment.merged({}, None, {}, tmp_path)["IMAGE_AUTH_PASSWORD"] == "a$HOME${B}c"


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_that_cannot_be_read_is_a_configuration_error(tmp_path: Path, content: bytes | None) -> None:
    """The message names the flag and the path."""
    if content is not None:
        (tmp_path / "my.env").write_bytes(content)
    with pytest.raises(Exit) as caught:
        environment.merged({}, "my.env", {}, tmp_path)
    assert caught.value.exit_code == 2
    assert "--env-file" in caught.value.lines[0]
    assert "my.env" in caught.value.lines[0]


def test_the_repository_defaults_to_the_git_tree_around(tmp_path: Path) -> None:
    """The tree is found also where `.git` is a file, as in a submodule or a second work tree."""
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    (tmp_path / ".git").write_text("gitdir: elsewhere")
    assert environment.with_paths({}, inside)["BACKEND_REPO"] == str(tmp_path)


@pytest.mark.parametrize("repo", ["https://git.example.com/x.git", "ssh://git@h/x", "git@h:x.git", "ext::sh -c id"])
def test_what_is_no_directory_stays_as_it_was_given(tmp_path: Path, repo: str) -> None:
    """A URL is the worker's to fetch, and what is wrong is told by the words of the user."""
    assert environment.with_paths({"BACKEND_REPO": repo}, tmp_path)["BACKEND_REPO"] == repo


def test_without_a_git_tree_it_is_the_working_directory(tmp_path: Path) -> None:
    """The worker says that it is no repository."""
    assert environment.git_top(tmp_path) == tmp_path


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ("fluidex", "fluidex"),
        ("my.yaml", "{here}/my.yaml"),
        ("conf/p", "{here}/conf/p"),
        ("/etc/p.yaml", "/etc/p.yaml"),
    ],
)
def test_paths_become_absolute_and_bundled_names_stay(tmp_path: Path, profile: str, expected: str) -> None:
    """A worker elsewhere knows nothing of this working directory."""
    found = environment.with_paths({"BACKEND_REPO": "sub", "BACKEND_PROFILE": profile}, tmp_path)
    assert found["BACKEND_PROFILE"] == expected.format(here=tmp_path)
    assert found["BACKEND_REPO"] == str(tmp_path / "sub")
