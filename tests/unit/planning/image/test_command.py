"""What the container of an image runs: the base's own command, unless that is none or a shell alone."""

import pytest

from domain.messages.image import BaseConfig
from domain.spec import Backend
from planning.image.command import base_config, client_config, remarks

BACKEND = Backend()


@pytest.mark.parametrize(
    ("entrypoint", "command", "runs"),
    [
        ([], [], ([], ["client"])),
        ([], ["bash"], ([], ["client"])),
        ([], ["/bin/sh"], ([], ["client"])),
        ([], ["/bin/bash", "-l", "-i"], ([], ["client"])),
        (["/bin/bash"], [], ([], ["client"])),
        (["/usr/bin/tini", "--"], ["bash"], (["/usr/bin/tini", "--"], ["client"])),
    ],
)
def test_a_base_without_a_command_runs_the_client(
    entrypoint: list[str], command: list[str], runs: tuple[list[str], list[str]]
) -> None:
    """Also one with a shell that no command is given to; the program that is to run CMD stays."""
    given = client_config(BaseConfig(entrypoint=entrypoint, command=command), BACKEND)
    assert (given.entrypoint, given.command) == runs


@pytest.mark.parametrize(
    ("entrypoint", "command"),
    [
        ([], ["client"]),
        (["/entrypoint.sh"], []),
        (["/entrypoint.sh"], ["--verbose"]),
        (["/bin/sh", "-c", "client"], []),
        (["/bin/sh"], ["-c", "client"]),
        ([], ["/bin/sh", "/run.sh"]),
        (["tini", "--"], ["client"]),
    ],
)
def test_a_command_of_its_own_stays(entrypoint: list[str], command: list[str]) -> None:
    """A wrapper script, a shell with a command, and the client itself."""
    base = BaseConfig(entrypoint=entrypoint, command=command, workdir="/opt", user="1")
    assert client_config(base, BACKEND) == base


@pytest.mark.parametrize("workdir", ["", "/", "/srv"])
def test_the_working_directory_is_where_the_configuration_is(workdir: str) -> None:
    """Whatever the base has; a program by a relative path is still found."""
    base = BaseConfig(command=["bin/client", "-v"], workdir=workdir)
    given = client_config(base, BACKEND)
    assert given.workdir == "/opt"
    assert given.command == [f"{workdir.rstrip('/')}/bin/client", "-v"]


def test_settings_win() -> None:
    """An explicit command and directory are taken as they are, whatever the base runs."""
    backend = Backend(client_command="/bin/client --log 'a b'", client_workdir="/srv")
    given = client_config(BaseConfig(entrypoint=["/entrypoint.sh"], command=["x"]), backend)
    assert (given.entrypoint, given.command, given.workdir) == ([], ["/bin/client", "--log", "a b"], "/srv")
    assert remarks(BaseConfig(), backend) == "clients run `/bin/client --log 'a b'` in /srv (CLIENT_COMMAND)"


def test_what_is_said_of_it() -> None:
    """What runs, and what it takes the place of."""
    assert remarks(base_config({"Cmd": ["client"], "User": "1"}), BACKEND) == "clients run `client` in /opt"
    bare = base_config({"Cmd": ["bash"], "Entrypoint": None})
    assert remarks(bare, BACKEND) == "clients run `client` in /opt, in place of `bash` in /, as the base image has it"
    assert "in place of no command" in remarks(base_config({}), BACKEND)
