"""The CLI starts fast and ends with the code it meant, whatever the libraries do at interpreter exit."""

import subprocess
import sys

import pytest

from sandbox.settings import REPOSITORY
from starter import main
from starter.commands import backend

BACKEND = list(backend.COMMANDS)
HEAVY = ("temporalio", "pydantic", "kubernetes", "docker", "git", "yaml", "domain", "worker", "workflows", "asyncio")


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "arguments",
    [["--help"], *([name, "--help"] for name in main.COMMANDS), *(["backend", name, "--help"] for name in BACKEND)],
)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    """The overview and the help of a command load neither Temporal, pydantic nor a client."""
    code = f"import sys; from starter import main; main.run({arguments!r}); print(*sys.modules, file=sys.stderr)"
    done = _python(code)
    loaded = {name.split(".")[0] for name in done.stderr.split()}
    assert set() == loaded & set(HEAVY)
    assert "Usage: proverctl" in done.stdout


@pytest.mark.parametrize("name", list(main.COMMANDS))
def test_the_overview_says_what_the_command_says(name: str) -> None:
    """The overview's table must not part from the commands, and each command shows an example."""
    command = main.cli.get_command(None, name)  # type: ignore[arg-type]  # the context is not used
    assert command is not None
    summary = main.COMMANDS[name][1]
    assert (command.help or "").startswith(summary)
    assert f"proverctl {name}" in (command.epilog or "")


@pytest.mark.parametrize("name", BACKEND)
def test_the_overview_of_the_backend_says_what_its_command_says(name: str) -> None:
    """The overview of the group has the first line of each command's help."""
    command = backend.backend_command.get_command(None, name)  # type: ignore[arg-type]  # the context is not used
    assert command is not None
    assert (command.help or "").startswith(backend.COMMANDS[name][1])
    assert f"proverctl backend {name}" in (command.epilog or "")


@pytest.mark.parametrize(
    ("said", "meant"), [("run_all", "run-all"), ("scale_cluster", "scale"), ("TEAR_DOWN", "tear-down")]
)
def test_the_originals_function_names_work(said: str, meant: str) -> None:
    """Dashes or underscores, and the name that the script's function had."""
    command = main.cli.get_command(None, said)  # type: ignore[arg-type]  # the context is not used
    assert command is not None
    assert meant == command.name


@pytest.mark.parametrize("name", ["upgrade", "rollback", "pause"])
def test_commands_of_later_are_absent(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Commands of later versions are usage errors, not commands without an effect."""
    assert main.run([name]) == 2
    assert "there is no command" in capsys.readouterr().err


def test_the_exit_code_survives_a_crash_at_interpreter_exit() -> None:
    """A native thread may abort the interpreter's shutdown; the code has been given by then."""
    code = (
        "import atexit, os, sys; atexit.register(os.abort); sys.argv = ['proverctl', 'render', '--timeout', 'x'];"
        "from starter.main import main; main()"
    )
    done = _python(code)
    assert done.returncode == 2
    assert "--timeout 'x'" in done.stderr


def test_a_fault_of_the_program_is_exit_1_with_a_traceback() -> None:
    """A fault of the program is no other of the documented codes."""
    code = (
        "import starter.main as m\ndef broken(*a, **k): raise ZeroDivisionError('fault')\nm.cli.main = broken\nm.main()"
    )
    done = _python(code)
    assert done.returncode == 1
    assert "ZeroDivisionError: fault" in done.stderr


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    """`proverctl … | head -1` ends quietly."""
    script = f"'{sys.executable}' -m starter --help | true"
    done = subprocess.run(["bash", "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_python_m_starter_is_the_same() -> None:
    """The module serves where no console script is installed."""
    done = subprocess.run(
        [sys.executable, "-m", "starter", "--version"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert done.stdout.startswith("proverctl, version")


def test_completion_knows_the_commands() -> None:
    """Click's shell completion, by the name of the program."""
    environ = {"_PROVERCTL_COMPLETE": "bash_complete", "COMP_WORDS": "proverctl sc", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "starter"], cwd=REPOSITORY, env=environ, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["plain,scale"]
