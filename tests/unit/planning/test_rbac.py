"""The rights are the least ones, and each is named."""

import json

from planning import rbac


def test_minimum_is_one_role_and_one_cluster_role() -> None:
    """Without the optional part: a service account, a Role, a ClusterRole that reads nodes, and their bindings."""
    documents = rbac.documents("fleet", optional=False)
    assert [(found["kind"], found["metadata"].get("namespace")) for found in documents] == [
        ("ServiceAccount", "fleet"),
        ("Role", "fleet"),
        ("RoleBinding", "fleet"),
        ("ClusterRole", None),
        ("ClusterRoleBinding", None),
    ]
    assert documents[3]["rules"] == [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list"]}]


def test_optional_rights_stand_apart() -> None:
    """Who does not want to grant them leaves out two documents."""
    documents = rbac.documents("fleet")
    assert documents[:5] == rbac.documents("fleet", optional=False)
    rules = {rule["resources"][0]: rule["verbs"] for rule in documents[5]["rules"]}
    assert rules == {"pods": ["list"], "namespaces": ["get", "create", "patch"]}


def test_nothing_is_granted_wholesale() -> None:
    """No wildcard, no escalation, no update, no collection of objects deleted at once."""
    granted = json.dumps([found.get("rules") for found in rbac.documents("fleet")])
    for word in ("*", "escalate", "impersonate", "bind", "deletecollection", "update", "exec"):
        assert word not in granted


def test_secrets_are_never_listed() -> None:
    """One Secret by name, and no way to see others."""
    rules = [rule for rule in rbac.role("fleet")["rules"] if "secrets" in rule["resources"]]
    assert [rule["resourceNames"] for rule in rules] == [["img-cred"]]
    assert not {"list", "watch"} & set(rules[0]["verbs"])


def test_bindings_name_the_service_account() -> None:
    """The account may live in another namespace than the deployment."""
    documents = rbac.documents("fleet", service_account="worker", service_account_namespace="tools")
    subjects = [found["subjects"] for found in documents if "subjects" in found]
    assert subjects == [[{"kind": "ServiceAccount", "namespace": "tools", "name": "worker"}]] * 3
    assert documents[0]["metadata"] == {"name": "worker", "namespace": "tools"}


def test_two_workers_have_bindings_of_their_own() -> None:
    """Cluster-wide bindings do not replace each other."""
    names = [
        {found["metadata"]["name"] for found in rbac.documents(home) if found["kind"] == "ClusterRoleBinding"}
        for home in ("one", "two")
    ]
    assert not names[0] & names[1]


def test_snippet_for_a_forbidden_call() -> None:
    """The rule that was lacking, ready to be pasted; nothing for what we never do."""
    assert rbac.snippet("Namespace", "patch") == (
        "ClusterRole rule: {apiGroups: [''], resources: [namespaces], verbs: [get, create, patch]}"
    )
    assert "endpointslices" in rbac.snippet("EndpointSlice", "create")
    assert rbac.snippet("Job", "create") == ""
