"""Which API server a CLUSTER name leads to, and what is said when it leads nowhere."""

from pathlib import Path

import pytest
import yaml

from clients.kubernetes.cluster import connect
from clients.kubernetes.connection import configuration
from domain.errors import SettingsInvalid, Unavailable


@pytest.fixture
def kubeconfig(tmp_path: Path) -> str:
    """Two contexts; `near` is the current one."""
    names = ("near", "far")
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "near",
        "clusters": [{"name": name, "cluster": {"server": f"http://{name}.example:1"}} for name in names],
        "users": [{"name": name, "user": {"token": f"token-{name}"}} for name in names],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}} for name in names],
    }
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(content))
    return str(file)


@pytest.mark.parametrize(
    ("cluster", "contexts", "host"),
    [
        ("default", {}, "http://near.example:1"),
        ("default", {"default": "far"}, "http://far.example:1"),
        ("prod", {"prod": "far"}, "http://far.example:1"),
    ],
)
def test_a_cluster_name_leads_to_its_context(
    kubeconfig: str, cluster: str, contexts: dict[str, str], host: str
) -> None:
    """By KUBE_CONTEXTS; `default` is the current context unless mapped."""
    assert configuration(cluster, contexts, kubeconfig).host == host


def test_an_unmapped_cluster_names_the_setting(kubeconfig: str) -> None:
    """With the clusters that this worker knows."""
    with pytest.raises(SettingsInvalid, match=r"CLUSTER=other is not in KUBE_CONTEXTS.*known: prod"):
        configuration("other", {"prod": "far"}, kubeconfig)


def test_an_unknown_context_names_the_kubeconfig(kubeconfig: str) -> None:
    """And the context that it lacks."""
    with pytest.raises(SettingsInvalid, match=f"KUBECONFIG={kubeconfig} context nowhere"):
        configuration("prod", {"prod": "nowhere"}, kubeconfig)


def test_no_kubeconfig_is_told_at_the_first_call(tmp_path: Path) -> None:
    """A worker starts without a cluster; who needs one is told what to set."""
    cluster = connect("default", {}, str(tmp_path / "absent"))
    with pytest.raises(SettingsInvalid, match="absent"):
        cluster.uid()


def test_a_repaired_kubeconfig_is_read_again(tmp_path: Path) -> None:
    """A long-lived worker follows a cluster that moved."""
    file = tmp_path / "config"
    cluster = connect("default", {}, str(file))
    for port in (1, 2):
        server = {"server": f"http://127.0.0.1:{port}"}
        content = {
            "current-context": "x",
            "clusters": [{"name": "x", "cluster": server}],
            "users": [{"name": "x", "user": {}}],
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        }
        file.write_text(yaml.safe_dump(content))
        with pytest.raises(Unavailable, match=f"127.0.0.1:{port}"):
            cluster.uid()
