"""The configuration that a client takes, by its own source; what that does not tell is said, and nothing is guessed."""

import pytest

from domain.errors import SettingsInvalid
from domain.spec import ConfigSchema
from planning.manifests import client_schema

FLAT, STRUCT, AUTO = ConfigSchema.FLAT, ConfigSchema.STRUCT, ConfigSchema.AUTO
PROGRAM, TEMPLATE = client_schema.SOURCES[0], client_schema.TEMPLATES[0]


def program(field: str, more: str = "") -> str:
    """Return a settings module of the client."""
    return f"use serde::Deserialize;\npub struct Settings {{\n    pub prover_id: String,\n    {field}\n}}\n{more}"


CIRCUIT = "pub struct Circuit { pub name: String, pub bin: String, pub r1cs: String }"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (program("pub circuit: String,"), FLAT),
        (program("pub circuit: Option<String>,"), FLAT),
        (program("pub circuit: Circuit,", "pub enum Circuit { Block }"), FLAT),
        (program("pub circuit: Circuit,", CIRCUIT), STRUCT),
        (program("pub circuit: crate::config::Circuit,", CIRCUIT), STRUCT),
        (program("// pub circuit: String,\n pub circuit: Circuit,", CIRCUIT), STRUCT),
        (program("pub circuit: pb::Circuit,"), None),
        (program("pub upstream: String,", "fn f(circuit: String) {}"), None),
        ("", None),
    ],
)
def test_the_program_tells(text: str, found: ConfigSchema | None) -> None:
    """By the type of its field `circuit`; comments and other functions do not."""
    assert client_schema.detected({PROGRAM: text}) is found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("circuit: block\nr1cs: '${DIR}/circuit.r1cs'\n", FLAT),
        ("prover_id: 1\ncircuit:\n  name: block\n  bin: '${DIR}/circuit.fast'\n", STRUCT),
        ("circuit: 3\n", None),
        ("- circuit\n", None),
        ("circuit: [", None),
        ("!!python/object/apply:os.system ['id']", None),
        ("[" * 5000, None),
    ],
)
def test_a_template_tells(text: str, found: ConfigSchema | None) -> None:
    """By what stands under `circuit`; one that cannot be read tells nothing, and does nothing."""
    assert client_schema.detected({TEMPLATE: text}) is found


def test_the_program_knows_better_than_a_template() -> None:
    """A template may have stayed behind; it counts where the program says nothing."""
    assert (
        client_schema.detected({TEMPLATE: "circuit: block", PROGRAM: program("pub circuit: Circuit,", CIRCUIT)})
        is STRUCT
    )
    assert client_schema.detected({TEMPLATE: "circuit: block", PROGRAM: "fn main() {}"}) is FLAT


def test_where_the_client_is_looked_for() -> None:
    """Upstream's submodule first, then that directory, then the repository itself."""
    assert client_schema.places({"a": "1", "deep/prover-cluster": "2"}) == [
        "deep/prover-cluster",
        "prover-cluster",
        "",
        "a",
    ]


@pytest.mark.parametrize(
    ("asked", "found", "given"),
    [(AUTO, FLAT, FLAT), (AUTO, STRUCT, STRUCT), (FLAT, None, FLAT), (STRUCT, None, STRUCT), (FLAT, FLAT, FLAT)],
)
def test_what_the_client_is_given(asked: ConfigSchema, found: ConfigSchema | None, given: ConfigSchema) -> None:
    """What was asked for, and with auto what was found."""
    assert client_schema.settled(asked, found) is given


@pytest.mark.parametrize(
    ("asked", "found", "words"),
    [
        (AUTO, None, ["CLIENT_CONFIG_SCHEMA=auto", "flat or struct"]),
        (FLAT, STRUCT, ["CLIENT_CONFIG_SCHEMA=flat", "the struct schema", "CLIENT_CONFIG_SCHEMA=struct or auto"]),
        (STRUCT, FLAT, ["CLIENT_CONFIG_SCHEMA=struct", "the flat schema", "CLIENT_CONFIG_SCHEMA=flat or auto"]),
    ],
)
def test_what_cannot_be(asked: ConfigSchema, found: ConfigSchema | None, words: list[str]) -> None:
    """Both are named, with the remedy."""
    with pytest.raises(SettingsInvalid) as caught:
        client_schema.settled(asked, found)
    assert [word for word in words if word not in caught.value.problems[0]] == []
