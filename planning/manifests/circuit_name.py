"""The circuit that clients prove, and its comparison with the configuration of the backend's programs.

A coordinator hands out tasks of the circuits that it knows; a client that asks for another one stays idle for ever.
"""

from typing import Any

import yaml

from domain.messages.source import Source
from domain.spec import DEFAULT_CIRCUIT, ClusterSpec, ConfigSchema
from planning.manifests import client_schema


def settle(spec: ClusterSpec, source: Source) -> ClusterSpec:
    """Set the schema of this commit's client and, unless CIRCUIT is set, the profile's circuit; SettingsInvalid."""
    schema = client_schema.settled(spec.config_schema, source.config_schema)
    circuit = spec.circuit or source.circuit or DEFAULT_CIRCUIT
    return spec.model_copy(update={"config_schema": schema, "circuit": circuit})


def is_settled(spec: ClusterSpec) -> bool:
    """Return whether stage, schema and circuit are set, so that a plan reads neither commit nor backend profile."""
    profile = spec.backend.profile or spec.backend.repo  # a repository may have one of its own
    return bool(spec.stage) and spec.config_schema is not ConfigSchema.AUTO and bool(spec.circuit or not profile)


def circuit_names(text: str) -> list[str]:
    """Return the circuits that a coordinator's or client's configuration names under `circuit` and `circuits`."""
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        return []
    if not isinstance(content, dict):
        return []
    circuits = content.get("circuits")
    listed = list(circuits) if isinstance(circuits, dict | list) else []
    found = [_name(one) for one in (content.get("circuit"), *listed)]
    return list(dict.fromkeys(filter(None, found)))


def mismatches(wanted: str, source: Source) -> list[str]:
    """Return a clause for each configuration that has other circuits than the clients' one, `wanted`."""
    found = [
        f"{file} has {' and '.join(names)}" for file, names in source.circuits.items() if names and wanted not in names
    ]
    if not source.circuits and source.circuit not in ("", wanted):
        found.append(f"the backend profile has {source.circuit}")
    return found


def known_circuit(wanted: str, source: Source) -> str:
    """Return a circuit that the backend has in place of `wanted`, as a value for CIRCUIT."""
    return next((names[0] for names in source.circuits.values() if names and wanted not in names), source.circuit)


def warnings(spec: ClusterSpec, source: Source) -> list[str]:
    """Return the warning of a deploy and a plan, if any, as one sentence."""
    found = mismatches(spec.circuit_name, source)
    if not found:
        return []
    differing = f"clients prove CIRCUIT={spec.circuit_name}, but {'; '.join(found)}"
    return [f"{differing}: a client of a circuit that its coordinator does not know gets no task."]


def not_compared(why: str) -> str:
    """Return the warning that the backend's configuration could not be read."""
    return f"CIRCUIT was not compared with the configuration of the backend's programs: {why}"


def _name(value: Any) -> str:
    name = value.get("name") if isinstance(value, dict) else value
    return name if isinstance(name, str) else ""
