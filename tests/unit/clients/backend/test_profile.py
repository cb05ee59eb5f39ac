"""Backend profiles are found, read and judged on their host, with every problem named by file, line and field."""

import time
from pathlib import Path

import psutil
import pytest

from clients.backend.profile import load_profile
from domain.errors import SettingsInvalid
from domain.messages.backend import LoadedProfile

_ENVIRON = {"PATH": "/usr/bin:/bin", "SET": "x", "WORKERS_OWN": "hidden"}
_BUILT_IN = {"PROVER_STATE_DIR": "/state", "CIRCUIT": "block"}


def _load(repo: Path, text: str, wanted: str = "", **environ: str) -> LoadedProfile:
    (repo / "proverctl.yaml").write_text(text)
    return load_profile(
        repo, wanted, _ENVIRON | environ, _BUILT_IN, lambda profile, *_: [s.name for s in profile.steps]
    )


def _problems(repo: Path, text: str, **environ: str) -> list[str]:
    with pytest.raises(SettingsInvalid) as caught:
        _load(repo, text, **environ)
    return [problem.replace(f"{repo}/", "") for problem in caught.value.problems]


def test_a_good_profile(tmp_path: Path) -> None:
    """It comes with the repository, and the circuit's directory filled in; the texts of steps stay as written."""
    text = "name: b\ncircuit_dir: keys/${SET}-${CIRCUIT}\nvariables: {SET: null}\nsteps:\n"
    text += "- {name: a, command: [ls, '${SET}'], outputs: ['${BACKEND_DATA}/x'], stop: {command: [ls]}}\n"
    loaded = _load(tmp_path, text)
    assert (loaded.profile.name, loaded.profile.circuit_dir, loaded.repo) == ("b", "keys/x-block", str(tmp_path))
    assert loaded.profile.steps[0].command == ["ls", "${SET}"]
    assert loaded.left_out == {}


@pytest.mark.parametrize(
    ("circuit", "given", "wanted"),
    [("", "", "block"), ("block_${SET}", "", "block_x"), ("block_${SET}", "mine", "mine"), ("", "mine", "mine")],
)
def test_the_name_of_the_circuit(tmp_path: Path, circuit: str, given: str, wanted: str) -> None:
    """The setting's, else the profile's, else `block`; the directory may be named after it."""
    text = f"name: b\ncircuit: {circuit!r}\ncircuit_dir: keys/${{CIRCUIT}}\nvariables: {{SET: null}}\n"
    (tmp_path / "proverctl.yaml").write_text(text)
    profile = load_profile(tmp_path, "", _ENVIRON, {"PROVER_STATE_DIR": "/state", "CIRCUIT": given}).profile
    assert (profile.circuit, profile.circuit_dir) == (wanted, f"keys/{wanted}")


def test_a_profile_elsewhere(tmp_path: Path) -> None:
    """A file is named relative to the repository; a bare name is a bundled one, and an unknown one says which exist."""
    (tmp_path / "other.yaml").write_text("name: other\n")
    assert load_profile(tmp_path, "other.yaml", _ENVIRON, _BUILT_IN).profile.name == "other"
    with pytest.raises(
        SettingsInvalid, match="BACKEND_PROFILE=nobody: there is no such profile, only example, fluidex"
    ):
        load_profile(tmp_path, "nobody", _ENVIRON, _BUILT_IN)
    with pytest.raises(SettingsInvalid, match=r"BACKEND_PROFILE=absent\.yaml: there is no file"):
        load_profile(tmp_path, "absent.yaml", _ENVIRON, _BUILT_IN)
    with pytest.raises(SettingsInvalid, match="proverctl deploy"):
        load_profile(tmp_path, "", _ENVIRON, _BUILT_IN)


def test_a_bundled_profile_is_judged_against_the_repository(tmp_path: Path) -> None:
    """Its files are looked for there, and what lacks is named by the line of the bundled file."""
    with pytest.raises(SettingsInvalid) as caught:
        load_profile(tmp_path, "fluidex", _ENVIRON, _BUILT_IN)
    assert [
        problem for problem in caught.value.problems if f"functions.file: there is no file {tmp_path}/run.sh" in problem
    ]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"#" * (1 << 20) + b"\xff"])
def test_what_cannot_be_read(tmp_path: Path, content: bytes) -> None:
    """No text, or too much of it, is refused by the file's name."""
    (tmp_path / "proverctl.yaml").write_bytes(content)
    with pytest.raises(SettingsInvalid, match=r"proverctl.yaml (cannot be read|is larger than)"):
        load_profile(tmp_path, "", _ENVIRON, _BUILT_IN)


def test_everything_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    """What the text shows and what only the host knows come together."""
    text = """name: b
variables:
  UNSET:
  DB_PASSWORD: x
steps:
- name: a
  needs: [ghost]
  command: [no-such-program]
- name: a
  command: [ls, "${WHO}"]
"""
    secret = "DB_PASSWORD looks like a secret of the worker: steps may not read those"
    absent = "needs the program no-such-program, which is not on the worker's PATH (/usr/bin:/bin)"
    assert _problems(tmp_path, text) == [
        "proverctl.yaml:3: variables.UNSET: variable UNSET has no default: set UNSET in the worker's environment",
        f"proverctl.yaml:4: variables.DB_PASSWORD: {secret}",
        "proverctl.yaml:7: steps[0].needs: step a needs ghost, which does not exist",
        f"proverctl.yaml:8: steps[0].command: step a {absent}",
        "proverctl.yaml:9: steps[1].name: step a exists twice",
        "proverctl.yaml:10: steps[1].command[1]: step a uses ${WHO}, which no variable declares",
    ]


def test_programs_of_every_kind_of_step(tmp_path: Path) -> None:
    """Each is named with the step that needs it; what a step makes itself, by a path, is not judged."""
    text = """name: b
functions: {file: run.sh}
variables: {TOOL: own-tool}
steps:
- {name: shell, shell: true, command: "ls | wc"}
- {name: made, command: [build/bin/x]}
- {name: function, function: go}
- {name: compose, needs: [function], compose: {project: p, file: c.yaml}}
- {name: left, function: go, leaves: [{compose: {project: q, file: d.yaml}}]}
- {name: modules, submodules: {}}
- {name: wait, wait: {command: [probe-it]}}
- {name: undo, command: ["/bin/sh"], stop: {command: [undo-it]}, programs: ["${TOOL}", "bin/own", "/no/such"]}
"""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "docker").write_text("#!/bin/sh\nexit 1\n")  # the CLI alone, without the plugin
    (tmp_path / "bin" / "docker").chmod(0o755)
    found = _problems(tmp_path, text, PATH=str(tmp_path / "bin"))
    assert [problem.partition(": ")[2] for problem in found] == [
        "functions.file: there is no file run.sh",
        *(
            f"{field}: step {step} needs the program {program}, which is not on the worker's PATH (bin)"
            for field, step, program in (
                ("steps[0].command", "shell", "bash"),
                ("steps[2].function", "function", "bash"),
                ("steps[3].compose", "compose", "docker compose"),
                ("steps[4].function", "left", "bash"),
                ("steps[4].leaves", "left", "docker compose"),
                ("steps[5].submodules", "modules", "git"),
                ("steps[6].wait.command", "wait", "probe-it"),
                ("steps[7].stop.command", "undo", "undo-it"),
                ("steps[7].programs[0]", "undo", "own-tool"),
                ("steps[7].programs[2]", "undo", "/no/such"),
            )
        ),
    ]


_FUNCTIONS = """name: b
functions: {file: run.sh, env: {AS_RESOURCE: "${MODE}"}}
variables: {MODE: "yes"}
steps:
- {name: compose, function: run_docker_compose}
- {name: setup, function: setup, stop: {function: nothing_like_it}}
"""


def test_missing_and_renamed_functions(tmp_path: Path) -> None:
    """Trap 12: named with their step before anything runs, with a guess at the new name."""
    (tmp_path / "run.sh").write_text("set -euxo pipefail\nsetup() { :; }\nfunction run_core_docker_compose() { :; }\n")
    renamed = (
        "step compose calls run_docker_compose, which run.sh does not define; did you mean run_core_docker_compose?"
    )
    assert _problems(tmp_path, _FUNCTIONS) == [
        f"proverctl.yaml:5: steps[0].function: {renamed}",
        "proverctl.yaml:6: steps[1].stop.function: step setup calls nothing_like_it, which run.sh does not define",
    ]


def test_the_file_is_sourced_in_a_clean_shell_in_the_repository(tmp_path: Path) -> None:
    """It sees `functions.env` and the harmless part of the worker's environment, no input, and the repository."""
    (tmp_path / "run.sh").write_text(
        "[[ $AS_RESOURCE == maybe && -z ${WORKERS_OWN-} && -e proverctl.yaml ]] || exit 3\nread -r line && exit 4\n"
        "echo declare -f printed\nrun_docker_compose() { :; }\nsetup() { :; }\nnothing_like_it() { :; }\nfalse\n"
    )
    assert _load(tmp_path, _FUNCTIONS, MODE="maybe").profile.name == "b"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("echo cannot go on >&2; exit 7", "the shell ended with 7: cannot go on"),
        ("set -e; false", "the shell ended with 1"),
        ("kill -9 $$", "the shell ended with -9"),
    ],
)
def test_a_file_that_cannot_be_sourced(tmp_path: Path, content: str, why: str) -> None:
    """How it ended and the end of its output are said, instead of every function being missing."""
    (tmp_path / "run.sh").write_text(content)
    assert _problems(tmp_path, _FUNCTIONS) == [f"proverctl.yaml:2: functions.file: run.sh cannot be sourced: {why}"]


def test_a_file_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the limit, with everything that it started."""
    monkeypatch.setattr("clients.backend.shell_functions._SECONDS", 1)
    (tmp_path / "run.sh").write_text("sleep 600 &\necho $! > pid\nwait\n")
    assert "it took longer than 1 s" in _problems(tmp_path, _FUNCTIONS)[0]
    pid, deadline = int((tmp_path / "pid").read_text()), time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_absent_files_are_named(tmp_path: Path) -> None:
    """A compose file, and a template or the line in it that uses what nobody declares."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "t").write_text("port ${PORT} $HOME $${X} ${x.y}\nother ${WHO}\n")
    text = """name: b
variables: {PORT: "1"}
steps:
- {name: db, compose: {project: p, file: docker-compose.yaml}, dir: conf}
- {name: config, file: {template: t, to: out}, dir: conf}
- {name: none, file: {template: u, to: out}}
"""
    undeclared = "step config uses ${WHO}, which no variable declares (in conf/t, line 2)"
    absent = "step none: template u cannot be read: [Errno 2] No such file or directory: 'u'"
    found = [problem for problem in _problems(tmp_path, text) if "needs the program" not in problem]
    assert found == [
        "proverctl.yaml:4: steps[0].compose.file: step db: there is no compose file docker-compose.yaml",
        f"proverctl.yaml:5: steps[1].file.template: {undeclared}",
        f"proverctl.yaml:6: steps[2].file.template: {absent}",
    ]


def test_what_an_earlier_step_makes_is_not_judged(tmp_path: Path) -> None:
    """A submodule, a function or a command may bring a file that is absent now."""
    text = """name: b
steps:
- {name: modules, command: [ls]}
- {name: between, needs: [modules], process: [ls]}
- {name: config, needs: [between], file: {template: later/t, to: out}}
"""
    assert _load(tmp_path, text).profile.name == "b"


def test_links_that_lead_out(tmp_path: Path) -> None:
    """Where something is run, written or deleted; a link that itself would be replaced or deleted is fine."""
    repo = tmp_path / "repo"
    repo.mkdir()
    (repo / "out").symlink_to(tmp_path)
    text = """name: b
steps:
- {name: run, command: [ls], dir: out}
- {name: write, file: {text: x, to: out/x}}
- {name: replace, file: {text: x, to: out}}
- {name: purge, command: [ls], purge: [out, "out/*"]}
- {name: read, command: [ls], inputs: ["out/*"], outputs: [out/x]}
"""
    leads_out = f"is a link that leads out of the repository, to {tmp_path}"
    assert _problems(repo, text) == [
        f"proverctl.yaml:3: steps[0].dir: step run: out {leads_out}",
        f"proverctl.yaml:4: steps[1].file.to: step write: out/x {leads_out}",
        f"proverctl.yaml:6: steps[3].purge[1]: step purge: out/* {leads_out}",
    ]


def test_variables_are_judged_with_their_values(tmp_path: Path) -> None:
    """What the environment makes of a text counts: paths that leave, ports that are none, fields left empty."""
    text = """name: b
variables: {D: null, P: null, E: ""}
steps:
- {name: a, command: [ls], dir: "${D}/x"}
- {name: p, process: [ls], ports: ["${P}"]}
- {name: w, wait: {tcp: "${E}"}}
"""
    kinds = "tcp, http, grpc, log, file, command, sql"
    assert _problems(tmp_path, text, D="..", P="99999") == [
        "proverctl.yaml:4: steps[0].dir: step a: '../x' must not lead upwards by `..`",
        "proverctl.yaml:5: steps[1].ports[0]: step p: '99999' is no port (1 to 65535)",
        f"proverctl.yaml:6: steps[2]: step w, with its variables filled in: wait needs exactly one of {kinds}",
    ]


def test_steps_that_are_left_out_say_why(tmp_path: Path) -> None:
    """Judged by the file system and the variables as they are now."""
    (tmp_path / "there").touch()
    text = """name: b
variables: {SET: "", EMPTY: ""}
steps:
- {name: deploy, command: [ls], when: {any_missing: [there]}}
- {name: deploy-too, command: [ls], when: {any_missing: [there, absent]}}
- {name: restore, command: [ls], when: {all_exist: [there, absent]}}
- {name: restore-too, command: [ls], when: {all_exist: [there]}}
- {name: set, command: [ls], when: {equal: ["${SET}", "x"]}}
- {name: not-set, command: [ls], when: {equal: ["${SET}", ""]}}
- {name: other, command: [ls], when: {equal: ["${EMPTY}", "yes"]}}
- {name: both, command: [ls], when: {any_missing: [there, "proverctl.yaml"]}}
"""
    assert _load(tmp_path, text).left_out == {
        "deploy": "there exists",
        "restore": "absent does not exist",
        "not-set": "${SET} = 'x' is not ''",
        "other": "${EMPTY} = '' is not yes",
        "both": "there and proverctl.yaml exist",
    }
