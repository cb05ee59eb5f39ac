"""Bad input ends with exit 2, all problems at once, before anything is contacted."""

from pathlib import Path

import pytest

from domain.diagnosis import Choice
from planning.settings.table import SETTINGS
from starter import main
from starter.cli import exits
from starter.commands import answer

GOOD = ["--coordinator-ep", "10.0.0.7", "--image-repo", "a/b", "--stage", "mine", "-n", "provers"]


@pytest.fixture(autouse=True)
def _blank(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Use an empty environment and an address where nobody listens: exit 5 would betray a contact."""
    for setting in SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("command", ["run-all", "setup-all", "deploy", "render", "plan"])
def test_every_problem_at_once(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Malformed settings and a malformed common flag together, each by its name; stdout stays empty."""
    wrong = {
        "--coordinator-ep": "host.local",
        "--coordinator-port": "70000",
        "--namespace": "Bad_Name",
        "--image-repo": "Bad/Repo",
        "--stage": "no stage",
        "--replicas": "1000000000",
        "--timeout": "soon",
    }
    code = main.run([command, *(word for pair in wrong.items() for word in pair)])
    said = capsys.readouterr()
    assert code == exits.INVALID
    assert said.out == ""
    assert "7 settings are wrong; nothing was contacted" in said.err
    for value in wrong.values():
        assert value in said.err


@pytest.mark.parametrize("number", ["-1", "x", "1000000000"])
def test_a_number_of_clients_that_is_none(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A number that looks like a flag is refused, too; a wrong namespace is reported beside it."""
    assert main.run(["scale", number, "-n", "Bad_Name"]) == exits.INVALID
    said = capsys.readouterr().err
    assert f"N={number!r}" in said
    assert "CLUSTER_NS='Bad_Name'" in said


def test_an_answer_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    """The message lists the answers; a wrong namespace is reported beside it."""
    assert main.run(["answer", "maybe", "-n", "Bad_Name"]) == exits.INVALID
    said = capsys.readouterr().err
    assert "'maybe' is no answer: give one of retry, fewer, rollback, abort" in said
    assert "CLUSTER_NS='Bad_Name'" in said


def test_the_choices_are_those_of_the_question() -> None:
    """The command names them without loading what defines them."""
    assert list(answer.CHOICES) == [choice.value for choice in Choice]


def test_two_ways_with_too_few_nodes_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    """Scale and deploy refuse both flags together, and report a wrong number beside them."""
    ways = ["--wait-for-nodes", "2d", "--as-many-as-fit"]
    assert main.run(["scale", "x", *ways]) == exits.INVALID
    said = capsys.readouterr().err
    assert "N='x'" in said
    assert "PROVER_WAIT_FOR_NODES and PROVER_AS_MANY_AS_FIT exclude each other" in said
    assert main.run(["deploy", *GOOD, *ways]) == exits.INVALID


@pytest.mark.parametrize(
    ("word", "said"), [("scal", "no command 'scal'; did you mean 'scale'?"), ("qqq", "no command 'qqq'.")]
)
def test_a_command_that_is_none(word: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The message suggests a command with a similar name."""
    assert main.run([word]) == exits.INVALID
    assert said in capsys.readouterr().err


def test_reset_endpoint_without_an_endpoint(capsys: pytest.CaptureFixture[str]) -> None:
    """Without the argument COORDINATOR_EP is required."""
    assert main.run(["reset-endpoint", "-n", "provers"]) == exits.INVALID
    assert "COORDINATOR_EP is not set" in capsys.readouterr().err


def test_the_argument_of_reset_endpoint_wins_over_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """R10: from the environment or arguments."""
    monkeypatch.setenv("COORDINATOR_EP", "10.0.0.7")
    assert main.run(["reset-endpoint", "nonsense", "-n", "provers", "--port", "0"]) == exits.INVALID
    said = capsys.readouterr().err
    assert "COORDINATOR_EP='nonsense'" in said
    assert "COORDINATOR_PORT=0" in said


@pytest.mark.parametrize(
    "arguments", [["tear-down"], ["tear-down", "--yes"], ["tear-down", "-n", "provers"], ["tear-down", "-o", "json"]]
)
def test_tear_down_outside_a_terminal_needs_yes_and_the_namespace(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A namespace of the environment is not explicit enough to delete it in a script."""
    monkeypatch.setenv("CLUSTER_NS", "provers")
    assert main.run(arguments) == exits.INVALID
    assert "--yes and an explicit -n" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["deploy", "--adopt"], ["run-all", "--adopt"]])
def test_what_is_not_available_yet_says_so(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """No flag is silently ignored."""
    assert main.run(arguments) == exits.INVALID
    assert f"{arguments[1]} is not available yet" in capsys.readouterr().err


def test_nodes_for_a_number_that_is_none_names_the_flag(capsys: pytest.CaptureFixture[str]) -> None:
    """The user gave --for, and knows nothing of the setting behind it."""
    assert main.run(["nodes", "--for", "x", "-n", "Bad_Name"]) == exits.INVALID
    said = capsys.readouterr().err
    assert "--for='x'" in said
    assert "CLUSTER_NS='Bad_Name'" in said
    assert "CLIENT_REPLICAS" not in said


def test_purge_of_a_tear_down_goes_with_its_backend(capsys: pytest.CaptureFixture[str]) -> None:
    """Alone it would mean nothing, so it is refused rather than ignored."""
    assert main.run(["tear-down", "--purge", "--yes", "-n", "provers"]) == exits.INVALID
    assert "it goes with --backend" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["up", "status", "restart", "stop", "purge", "logs"])
def test_every_problem_of_a_backend_at_once(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Problems of the command's own flags are among them; stdout stays empty."""
    wrong = {
        "--coordinator-ep": "host.local",
        "--coordinator-port": "70000",
        "--backend-host": "a/b",
        "--circuit": "no circuit",
        "--timeout": "soon",
    }
    own = {"logs": {"--name": "A/b", "--lines": "-1"}, "stop": {"--name": "A/b"}, "status": {"--name": "A/b"}}
    wrong |= own.get(command, {})
    step = ["step"] if command in ("restart", "logs") else []
    code = main.run(["backend", command, *step, *(word for pair in wrong.items() for word in pair)])
    said = capsys.readouterr()
    assert code == exits.INVALID
    assert said.out == ""
    assert f"{len(wrong)} settings are wrong; nothing was contacted" in said.err
    for value in wrong.values():
        assert value in said.err


def test_a_backend_needs_no_coordinator(capsys: pytest.CaptureFixture[str]) -> None:
    """The profile's need is checked on the backend host: here the command ends at Temporal."""
    assert main.run(["backend", "up"]) == exits.UNREACHABLE
    assert "COORDINATOR" not in capsys.readouterr().err


def test_purge_outside_a_terminal_needs_yes(capsys: pytest.CaptureFixture[str]) -> None:
    """The message has the command to type, with the flags that named this backend."""
    assert main.run(["backend", "purge", "--backend-profile", "fluidex"]) == exits.INVALID
    assert "proverctl backend purge --yes --backend-profile fluidex" in capsys.readouterr().err


def test_a_log_that_is_followed_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    """There is no end to which a JSON document could be written."""
    assert main.run(["backend", "logs", "setup", "-f", "-o", "json"]) == exits.INVALID
    assert "-f writes text" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--image-auth-user", "--image-auth-password", "--password"])
def test_secrets_are_never_flags(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Arguments are seen by every user of the machine."""
    assert main.run(["deploy", *GOOD, flag, "hunter2"]) == exits.INVALID
    assert "No such option" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run-all", "setup-all"])
def test_without_a_profile_it_points_to_deploy(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The default profile is in BACKEND_REPO, which is here."""
    assert main.run([command, *GOOD]) == exits.INVALID
    said = capsys.readouterr().err
    assert "proverctl.yaml" in said
    assert "proverctl deploy -n provers" in said


@pytest.mark.parametrize("roles", ["", "deploy,cook", " , "])
def test_roles_of_the_worker_are_known(roles: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A worker with a misspelt role would wait for ever."""
    assert main.run(["worker", "--roles", roles]) == exits.INVALID
    assert "--roles" in capsys.readouterr().err


def test_good_settings_reach_out_and_end_with_5(capsys: pytest.CaptureFixture[str]) -> None:
    """The same command with good settings does contact Temporal, so that the tests above prove something."""
    assert main.run(["deploy", *GOOD]) == exits.UNREACHABLE
    said = capsys.readouterr()
    assert said.out == ""
    assert "TEMPORAL_ADDRESS=127.0.0.1:1" in said.err


@pytest.mark.parametrize(
    "command",
    [
        ["scale", "2"],
        ["answer", "retry"],
        ["reset-endpoint", "10.0.0.7"],
        ["status"],
        ["list"],
        ["nodes"],
        ["diagnose"],
        ["backend", "status"],
    ],
)
def test_temporal_down_is_5_for_every_command_that_asks(command: list[str]) -> None:
    """No command ends with a traceback."""
    assert main.run([*command, "-n", "provers"]) == exits.UNREACHABLE


def test_flags_win_over_the_env_file_and_that_over_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seen from outside: the winning value is the one complained about."""
    monkeypatch.setenv("STAGE", "bad env")
    monkeypatch.setenv("CIRCUIT", "bad env")
    monkeypatch.setenv("CLIENT_CPU", "bad env")
    (tmp_path / "my.env").write_text("STAGE=bad file\nCIRCUIT=bad file\n")
    (tmp_path / ".env").write_text("CLUSTER=bad/dot\nSTAGE=bad dot\n")
    main.run(["render", "--env-file", "my.env", "--stage", "bad flag"])
    said = capsys.readouterr().err
    assert "STAGE='bad flag'" in said
    assert "CIRCUIT='bad file'" in said
    assert "CLIENT_CPU='bad env'" in said
    assert "CLUSTER='bad/dot'" in said
