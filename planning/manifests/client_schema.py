"""The schema of the prove-client's configuration, by its own source."""

import re
from collections.abc import Mapping
from posixpath import basename

import yaml

from domain.errors import SettingsInvalid
from domain.spec import ConfigSchema

CLIENT = "prover-cluster"  # the repository of the client, as its submodule is called upstream
# The program first: a template may have stayed behind when the program moved on.
SOURCES = ("src/client/config.rs", "src/config/client.rs")
TEMPLATES = (
    "config/client.yaml.template",
    "config/client.yaml.example",
    "config/client.yaml.sample",
    "config/client.yaml",
)

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_FIELD = re.compile(r"\bcircuit\s*:\s*(?:Option\s*<\s*)?(?:\w+\s*::\s*)*(\w+)")
_SETTINGS = re.compile(r"\bstruct\s+Settings\s*\{(.*?)\}", re.DOTALL)


def places(submodules: Mapping[str, str]) -> list[str]:
    """Return directories of the repository that may hold the client's source, the likeliest first."""
    likely = [path for path in submodules if basename(path) == CLIENT]
    return list(dict.fromkeys([*likely, CLIENT, "", *submodules]))


def detected(texts: Mapping[str, str]) -> ConfigSchema | None:
    """Return the schema by the texts of SOURCES and TEMPLATES that are there; None when they do not tell."""
    readings = [_of_program(texts[name]) for name in SOURCES if name in texts]
    readings += [_of_template(texts[name]) for name in TEMPLATES if name in texts]
    return next((reading for reading in readings if reading), None)


def settled(asked: ConfigSchema, found: ConfigSchema | None) -> ConfigSchema:
    """Return the schema that the client is given; SettingsInvalid when it cannot be told, or would not fit."""
    if asked is ConfigSchema.AUTO and found is None:
        why = (
            "CLIENT_CONFIG_SCHEMA=auto cannot be told: the source of the prove-client is not in BACKEND_REPO, is a"
            " submodule that is not checked out, or has another form; set it to flat or struct."
        )
        raise SettingsInvalid([why])
    if found and asked not in (ConfigSchema.AUTO, found):
        why = (
            f"CLIENT_CONFIG_SCHEMA={asked} does not fit the prove-client: its pinned source takes the {found} schema"
            f" and ends at once with another; set CLIENT_CONFIG_SCHEMA={found} or auto."
        )
        raise SettingsInvalid([why])
    return found or asked


def _of_program(text: str) -> ConfigSchema | None:
    code = _COMMENT.sub("", text)
    settings = _SETTINGS.search(code)
    field = _FIELD.search(settings[1]) if settings else None
    if field is None:
        return None
    if field[1] in ("String", "str") or re.search(rf"\benum\s+{field[1]}\b", code):
        return ConfigSchema.FLAT
    return ConfigSchema.STRUCT if re.search(rf"\bstruct\s+{field[1]}\b", code) else None


def _of_template(text: str) -> ConfigSchema | None:
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        return None
    circuit = content.get("circuit") if isinstance(content, dict) else None
    if isinstance(circuit, dict):
        return ConfigSchema.STRUCT
    return ConfigSchema.FLAT if isinstance(circuit, str) else None
