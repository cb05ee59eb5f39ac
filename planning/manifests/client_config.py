"""The prove-client's configuration file in both schemas, for upstream moved from the flat one to the struct one."""

import hashlib
import json
from typing import Any

import yaml

from domain import names
from domain.spec import ClusterSpec, ConfigSchema

CIRCUIT_PATH = "/opt/circuit"
POLL_INTERVAL = 10_000  # milliseconds
PROVER_ID = "prove-client"  # never seen: CLIENT_PROVER_ID overrides it with the pod's name
HASH_DIGITS = 16


def upstream(spec: ClusterSpec) -> str:
    """Return the coordinator's URL as clients see it: the Service, unless COORDINATOR_SERV overrides it."""
    return spec.coordinator_serv or service_url()


def service_url() -> str:
    """Return the URL of the Service that leads to the coordinator outside the cluster."""
    return f"http://{names.COORDINATOR_SERVICE}"


def config_text(spec: ClusterSpec, *, lagrange: bool = True) -> str:
    """Return the text of `client.yaml`; `lagrange` says whether the image holds lag.key."""
    return yaml.safe_dump(_settings(spec, lagrange), sort_keys=False, width=1000)


def lagrange(text: str) -> bool:
    """Return whether a configuration in the flat schema names lag.key; true for anything else."""
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return True
    flat = isinstance(found, dict) and isinstance(found.get("circuit"), str)
    return not flat or "srs_lagrange_form" in found


def circuit(text: str) -> str:
    """Return the circuit that a configuration in either schema names; empty when it cannot be told."""
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return ""
    named = found.get("circuit") if isinstance(found, dict) else None
    return str((named.get("name") if isinstance(named, dict) else named) or "")


def config_hash(spec: ClusterSpec, *, lagrange: bool = True) -> str:
    """Return a hash of all that must restart pods when it changes and is not part of the pod template.

    Taken of the data and not of its YAML text, so that another YAML library does not restart a fleet.
    """
    data = json.dumps({names.CONFIG_KEY: _settings(spec, lagrange)}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(data.encode()).hexdigest()[:HASH_DIGITS]


def _settings(spec: ClusterSpec, lagrange: bool) -> dict[str, Any]:
    if spec.config_schema is ConfigSchema.AUTO:
        raise ValueError("the schema is settled before anything is rendered")
    common = {"prover_id": PROVER_ID, "upstream": service_url(), "poll_interval": POLL_INTERVAL}
    return common | (_struct(spec) if spec.config_schema is ConfigSchema.STRUCT else _flat(spec, lagrange))


def _flat(spec: ClusterSpec, lagrange: bool) -> dict[str, Any]:
    return {
        "circuit": spec.circuit_name,
        "r1cs": f"{CIRCUIT_PATH}/circuit.r1cs",
        "srs_monomial_form": f"{CIRCUIT_PATH}/mon.key",
        # A named but missing file is fatal, and newer set-ups make none.
        **({"srs_lagrange_form": f"{CIRCUIT_PATH}/lag.key"} if lagrange else {}),
        "vk": f"{CIRCUIT_PATH}/vk.bin",
    }


def _struct(spec: ClusterSpec) -> dict[str, Any]:
    # No lag.key: the set-up that goes with this schema no longer makes one, and a named but missing file is fatal.
    return {
        "circuit": {
            "name": spec.circuit_name,
            "bin": f"{CIRCUIT_PATH}/circuit_cpp/circuit",
            "r1cs": f"{CIRCUIT_PATH}/circuit.r1cs",
        },
        "srs_monomial_form": f"{CIRCUIT_PATH}/mon.key",
        "vk": f"{CIRCUIT_PATH}/vk.bin",
    }
