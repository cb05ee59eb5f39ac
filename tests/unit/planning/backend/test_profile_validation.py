"""What is wrong with a well-formed profile is all said at once, by field, with what to do."""

from typing import Any

import pytest

from domain.profile import Profile
from planning.backend.profile_validation import faults


def _faults(steps: list[dict[str, Any]], **others: Any) -> list[tuple[str, str]]:
    """Field and clause of each; a step without a kind is a command."""
    kinds = {"function", "file", "submodules", "compose", "process", "wait", "command"}
    whole = [step if kinds & set(step) else {"command": ["true"], **step} for step in steps]
    found = faults(Profile.model_validate({"name": "p", "steps": whole, **others}))
    return [(".".join(map(str, fault.path)), fault.text) for fault in found]


def test_nothing_wrong() -> None:
    """Declared, built-in and handed-on names, paths that stay inside, and secrets where they are allowed."""
    steps: list[dict[str, Any]] = [
        {"name": "clean", "stop": {"command": ["rm"]}, "purge": ["out/*", "${BACKEND_DATA}", "${BACKEND_DATA}/x"]},
        {"name": "deploy", "needs": ["clean"], "values": {"ADDR": {"log": "at (0x.+)$"}}, "secrets": ["KEY"]},
        {"name": "use", "needs": ["deploy"]},
        {
            "name": "serve",
            "process": ["bin/s", "${ADDR}"],
            "needs": ["use"],
            "secrets": ["FILE"],
            "ports": ["${P}", "80"],
        },
        {"name": "up", "needs": ["serve"], "wait": {"log": {"step": "serve", "match": "^up on ${P}$"}}},
        {
            "name": "render",
            "file": {"text": "${CIRCUIT}", "to": "${BACKEND_DATA}/conf"},
        },
        {
            "name": "make",
            "outputs": ["${BACKEND_DATA}/o"],
        },
    ]
    secrets = {"KEY": "env:DEPLOY_KEY", "FILE": "file:/run/key"}
    assert _faults(steps, variables={"P": "1"}, secrets=secrets, circuit_dir="c/${P}", purge=["data"]) == []


def test_all_at_once() -> None:
    """A twice-used name, an unknown need, an undeclared variable and paths that leave are all reported."""
    steps: list[dict[str, Any]] = [
        {"name": "a", "needs": ["ghost"]},
        {"name": "a", "command": ["echo", "${NOWHERE}", "${NOWHERE}"]},
        {"name": "b", "dir": "../out", "inputs": ["/etc/passwd"]},
    ]
    assert _faults(steps) == [
        ("steps.0.needs", "step a needs ghost, which does not exist"),
        ("steps.1.name", "step a exists twice"),
        ("steps.1.command.1", "step a uses ${NOWHERE}, which no variable declares"),
        ("steps.2.dir", "step b: '../out' must not lead upwards by `..`"),
        ("steps.2.inputs.0", "step b: '/etc/passwd' must be relative"),
    ]


def test_a_circle_is_named() -> None:
    """Steps that need each other are named, and only those."""
    steps = [{"name": "c", "needs": ["b"]}, {"name": "a", "needs": ["b"]}, {"name": "b", "needs": ["a"]}]
    assert _faults(steps) == [("steps.1.needs", "steps b, a need each other in a circle")]
    assert _faults([{"name": "a", "needs": ["a"]}]) == [("steps.0.needs", "step a needs itself")]


def test_a_real_step_cannot_depend_on_a_simulated_one() -> None:
    """Otherwise setup-all would wait for what it never starts; neither by a need nor by a log."""
    steps: list[dict[str, Any]] = [
        {"name": "t", "simulated": True},
        {"name": "a", "needs": ["t"]},
        {"name": "w", "wait": {"log": {"match": "x", "step": "t"}}},
        {"name": "u", "needs": ["t"], "simulated": True},
    ]
    assert [text for _, text in _faults(steps)] == [
        "step a needs t, which is simulated and so not part of setup-all",
        "step w reads the log of t, which is simulated and so not part of setup-all",
    ]


def test_a_step_cannot_depend_on_an_optional_one() -> None:
    """It may never be done; among optional ones that is fine."""
    steps: list[dict[str, Any]] = [
        {"name": "t", "optional": True},
        {"name": "a", "needs": ["t"]},
        {"name": "u", "needs": ["t"], "optional": True},
    ]
    assert _faults(steps) == [("steps.1.needs", "step a needs t, which is optional, so it may never be done")]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("IMAGE_AUTH_USER", "looks like a secret"),
        ("db_password", "looks like a secret"),
        ("PYTHON", "is built in"),
        ("BACKEND_DATA", "is built in"),
        ("a-b", "is no variable name"),
    ],
)
def test_names_that_may_not_be_declared(name: str, why: str) -> None:
    """Neither as a variable nor as a value: secrets of the worker, built-in names and non-names."""
    assert why in _faults([], variables={name: ""})[0][1]
    assert why in _faults([{"name": "a", "values": {name: {"file": "f"}}}])[0][1]


def test_a_default_refers_to_nothing() -> None:
    """It would be taken as it is written, which nobody means."""
    assert _faults([], variables={"A": "x", "B": "${A}/y"}) == [
        ("variables.B", "a default is taken as it is, it cannot refer to ${A}")
    ]


@pytest.mark.parametrize(
    ("use", "why"),
    [
        ({"name": "use"}, "which deploy hands on: add deploy to its needs"),
        ({"name": "use", "needs": ["far"]}, ""),
        ({"name": "use", "values": {"OTHER": {"log": "(x)"}}, "needs": ["deploy"]}, ""),
        ({"name": "use", "needs": ["deploy"], "when": {"equal": ["${ADDR}", ""]}}, "in `when`, which is judged before"),
    ],
)
def test_values_come_from_what_a_step_needs(use: dict[str, Any], why: str) -> None:
    """Directly or through others, else the step to add is named; a `when` comes too early for any."""
    steps: list[dict[str, Any]] = [
        {"name": "deploy", "values": {"ADDR": {"log": "at (.+)"}}},
        {"name": "far", "needs": ["deploy"]},
        {**use, "command": ["echo", "${ADDR}"]},
    ]
    found = [text for _, text in _faults(steps)]
    assert [why in text for text in found] == ([True] if why else [])


def test_a_step_does_not_know_its_own_value() -> None:
    """It is found only once the step is done."""
    steps = [{"name": "a", "command": ["${ADDR}"], "values": {"ADDR": {"log": "(x)"}}}]
    assert "hands on itself" in _faults(steps)[0][1]


def test_two_steps_hand_on_one_value_only_under_different_conditions() -> None:
    """Deploying and restoring both know the address; who uses it must come after both."""
    deploy: dict[str, Any] = {"name": "deploy", "when": {"any_missing": ["a"]}, "values": {"ADDR": {"log": "(x)"}}}
    restore: dict[str, Any] = {"name": "restore", "when": {"all_exist": ["a"]}, "values": {"ADDR": {"file": "a"}}}
    use: dict[str, Any] = {"name": "use", "needs": ["deploy"], "command": ["${ADDR}"]}
    assert _faults([deploy, restore, {**use, "needs": ["deploy", "restore"]}]) == []
    assert "which restore hands on: add restore to its needs" in _faults([deploy, restore, use])[0][1]
    for other in ({**restore, "when": deploy["when"]}, {key: restore[key] for key in ("name", "values")}):
        assert _faults([deploy, other]) == [
            (
                "steps.1.values.ADDR",
                "ADDR is handed on by step deploy, too: only steps with different `when`s may do so",
            )
        ]


def test_functions_need_their_file() -> None:
    """Of the step and of its counterpart."""
    steps: list[dict[str, Any]] = [{"name": "f", "function": "go"}, {"name": "c", "stop": {"function": "halt"}}]
    assert _faults(steps) == [
        ("steps.0.function", "step f calls go, but the profile names no file of `functions`"),
        ("steps.1.stop.function", "step c calls halt, but the profile names no file of `functions`"),
    ]
    assert _faults(steps, functions={"file": "run.sh"}) == []
    assert _faults(steps, functions={"file": "../run.sh"}) == [
        ("functions.file", "'../run.sh' must not lead upwards by `..`")
    ]


def test_only_functions_have_variables_to_hand_on() -> None:
    """A command's shell is gone with it."""
    steps = [{"name": "c", "values": {"A": {"variable": "A"}}}]
    assert _faults(steps) == [("steps.0.values.A.variable", "step c is no function, it has no shell to take A from")]


@pytest.mark.parametrize("reference", ["hunter2", "env:", "file:", "env:a b", "docker-config"])
def test_secrets_are_references(reference: str) -> None:
    """Never the secret itself, which is not repeated either."""
    assert _faults([], secrets={"KEY": reference}) == [
        ("secrets.KEY", "secret KEY must be a reference, env:NAME or file:PATH, never the secret itself")
    ]


def test_where_secrets_may_go() -> None:
    """Declared ones only; to a process, which outlives the worker, only as a file; never into a text."""
    outlives = "a process outlives the worker, so its secrets must be of the kind file:PATH"
    steps: list[dict[str, Any]] = [
        {"name": "a", "secrets": ["OTHER"], "command": ["${KEY}"]},
        {"name": "p", "process": ["x"], "secrets": ["KEY"]},
    ]
    assert _faults(steps, secrets={"KEY": "env:K"}) == [
        (
            "steps.0.command.0",
            "step a uses ${KEY}, which is a secret: name it in `secrets`, then the program finds it in its environment",
        ),
        ("steps.0.secrets.0", "step a is given the secret OTHER, which `secrets` of the profile does not name"),
        (
            "steps.1.secrets.0",
            f"step p is given KEY, which is env:K: {outlives}",
        ),
    ]


@pytest.mark.parametrize(
    ("step", "field", "why"),
    [
        ({"values": {"A": {"log": "a("}}}, "values.A.log", "'a(' is no regular expression"),
        ({"values": {"A": {"log": "a"}}}, "values.A.log", "'a' needs exactly one group (…), it has 0"),
        ({"values": {"A": {"file": "f", "match": "(a)(b)"}}}, "values.A.match", "exactly one group (…), it has 2"),
        ({"function": "f", "leaves": [{"program": "x", "arguments": "*"}]}, "leaves.0.arguments", "no regular"),
        ({"wait": {"log": {"match": "[", "file": "f"}}}, "wait.log.match", "is no regular expression"),
        ({"wait": {"log": {"match": "x"}}}, "wait.log", "no log of its own"),
        ({"wait": {"log": {"match": "x", "step": "a", "file": "f"}}}, "wait.log", "not in both"),
        ({"wait": {"log": {"match": "x", "step": "ghost"}}}, "wait.log.step", "ghost, which does not exist"),
        ({"wait": {"tcp": "localhost"}}, "wait.tcp", "'localhost' is not host:port"),
        ({"wait": {"tcp": "h:70000"}}, "wait.tcp", "is not host:port"),
        ({"wait": {"grpc": "/service"}}, "wait.grpc", "is not host:port"),
        ({"process": ["x"], "ready": {"http": "h:80"}}, "ready.http", "begins with http:// or https://"),
        ({"wait": {"sql": {"url": "postgresql://u:p@h/d"}}}, "wait.sql.url", "its url holds a password"),
        ({"process": ["x"], "ports": ["0"]}, "ports.0", "'0' is no port (1 to 65535)"),
        ({"process": ["x"], "ports": ["http"]}, "ports.0", "'http' is no port"),
        ({"command": ["a\0b"]}, "command.0", "it holds a NUL character"),
        ({"outputs": ["/x"]}, "outputs.0", "'/x' must be relative or under ${BACKEND_DATA}"),
        ({"outputs": ["${BACKEND_DATA}x"]}, "outputs.0", "must be relative or under"),
        ({"inputs": ["${BACKEND_DATA}/x"]}, "inputs.0", "must be relative"),
        ({"inputs": [""]}, "inputs.0", "it is empty"),
        ({"compose": {"project": "p", "file": "/x"}}, "compose.file", "must be relative"),
        ({"function": "f", "leaves": [{"program": "../x"}]}, "leaves.0.program", "must not lead upwards"),
        ({"submodules": {"paths": ["a/../.."]}}, "submodules.paths.0", "must not lead upwards"),
        ({"file": {"template": "/t", "to": "x"}}, "file.template", "must be relative"),
        ({"file": {"text": "", "template": "t", "to": "../x"}}, "file.to", "must not lead upwards"),
        ({"purge": ["${BACKEND_DATA}/../x"]}, "purge.0", "must not lead upwards"),
        ({"purge": ["/var"]}, "purge.0", "must be relative or under"),
        ({"purge": ["./"]}, "purge.0", "would delete the whole repository"),
        ({"purge": ["**/*"]}, "purge.0", "would delete the whole repository"),
        ({"purge": [".g*/x"]}, "purge.0", "would delete the history"),
    ],
)
def test_forms_of_single_texts(step: dict[str, Any], field: str, why: str) -> None:
    """Each is named by its own field; a text that a variable may still mend is left alone."""
    found = _faults([{"name": "a", **step}], functions={"file": "run.sh"})
    assert [path for path, _ in found] == [f"steps.0.{field}"]
    assert why in found[0][1]


@pytest.mark.parametrize("address", ["host:80", "10.0.0.7:80", "[fd00::7]:80", "fd00::7:80", "::1:80", ":80"])
def test_addresses_as_coordinator_ep_gives_them(address: str) -> None:
    """An IPv6 address may stand without brackets, and no host at all is this machine."""
    assert _faults([{"name": "a", "wait": {"tcp": address}}]) == []


def test_places_of_the_whole_profile() -> None:
    """Its own paths and references are judged like those of steps; the circuit's directory cannot refer to itself."""
    functions = {"file": "", "env": {"A": "${NOWHERE}"}}
    paths = {"purge": ["../x", "${ADDR}"], "data": ["/var", "**", "a"]}
    assert _faults([], circuit_dir="/x/${CIRCUIT_DIR}", functions=functions, **paths) == [
        ("circuit_dir", "uses ${CIRCUIT_DIR}, which no variable declares"),
        ("functions.env.A", "uses ${NOWHERE}, which no variable declares"),
        ("purge.1", "uses ${ADDR}, which no variable declares"),
        ("functions.file", "it is the path itself, neither empty nor made of variables"),
        ("circuit_dir", "'/x/${CIRCUIT_DIR}' must be relative"),
        ("purge.0", "'../x' must not lead upwards by `..`"),
        ("data.0", "'/var' must be relative"),
        ("data.1", "'**' would be the whole repository"),
    ]


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ({"process": ["x"]}, "values"),
        ({"wait": {"tcp": "h:1"}}, "outputs"),
        ({"compose": {"project": "p", "file": "f"}}, "inputs"),
    ],
)
def test_fields_that_would_do_nothing(kind: dict[str, Any], field: str) -> None:
    """Only what is run and recorded can be skipped, checked for its outputs, and hand something on."""
    value = {"values": {"A": {"file": "f"}}}.get(field, ["x"])
    found = _faults([{"name": "a", **kind, field: value}])
    assert [path for path, _ in found] == [f"steps.0.{field}"]
    assert f"{field} goes with function, command, submodules" in found[0][1]
