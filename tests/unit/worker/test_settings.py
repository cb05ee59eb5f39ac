"""What a worker reads from its environment."""

import json
import logging
from pathlib import Path

import pytest

from domain.errors import SettingsInvalid
from worker.logs import JsonLines
from worker.settings import WorkerSettings


def test_defaults_serve_everything_on_one_machine() -> None:
    """One cluster by the current context, one backend host."""
    settings = WorkerSettings.read({"HOME": "/root"})
    assert settings.roles == ("deploy", "kube", "host")
    assert (settings.clusters, settings.backend_host, settings.kubeconfig) == (("default",), "local", None)


def test_contexts_name_clusters() -> None:
    """`default` stays, mapped or not."""
    settings = WorkerSettings.read({"KUBE_CONTEXTS": "lab=admin@lab, prod=ops", "PROVER_STATE_DIR": "/state"})
    assert settings.clusters == ("default", "lab", "prod")
    assert dict(settings.contexts) == {"lab": "admin@lab", "prod": "ops"}
    assert Path("/state") == settings.state_dir


@pytest.mark.parametrize("text", ["lab", "lab=", "=x", "a/b=c"])
def test_a_malformed_context_is_named(text: str) -> None:
    """With the setting, the value and an example."""
    with pytest.raises(SettingsInvalid) as raised:
        WorkerSettings.read({"KUBE_CONTEXTS": text})
    assert f"KUBE_CONTEXTS={text!r}" in str(raised.value)


def test_all_problems_are_told_at_once() -> None:
    """Roles too."""
    with pytest.raises(SettingsInvalid) as raised:
        WorkerSettings.read({"KUBE_CONTEXTS": "lab"}, ("kube", "cook"))
    assert len(raised.value.problems) == 2


def test_a_log_line_is_one_json_object() -> None:
    """Also when the message has several lines."""
    record = logging.LogRecord("worker", logging.INFO, "f", 1, "two\nlines %s", ("x",), None)
    line = JsonLines().format(record)
    assert "\n" not in line
    assert (json.loads(line)["level"], json.loads(line)["message"]) == ("info", "two\nlines x")
