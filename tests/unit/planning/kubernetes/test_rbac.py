"""The rights are the least ones, and each is named."""

import json

from domain.kubernetes import Manifest, Right
from planning.kubernetes import rbac


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
    assert documents[3]["rules"] == [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]}]


def test_optional_rights_stand_apart() -> None:
    """Who does not want to grant them leaves out four documents: two roles and their bindings."""
    documents = rbac.documents("fleet")
    assert documents[:5] == rbac.documents("fleet", optional=False)
    assert [(found["kind"], found["metadata"].get("namespace")) for found in documents[5:]] == [
        ("Role", "fleet"),
        ("RoleBinding", "fleet"),
        ("ClusterRole", None),
        ("ClusterRoleBinding", None),
    ]
    granted = [{rule["resources"][0]: rule["verbs"] for rule in documents[place]["rules"]} for place in (5, 7)]
    assert granted == [
        {"pods/log": ["get"], "resourcequotas": ["list"], "limitranges": ["list"], "pods": ["create", "delete"]},
        {"pods": ["list"], "namespaces": ["get", "create", "patch"]},
    ]


def test_the_optional_role_is_bound_to_the_same_account() -> None:
    """Both roles of the namespace, by bindings of their own names."""
    bindings = [found for found in rbac.documents("fleet") if found["kind"] == "RoleBinding"]
    assert [found["roleRef"]["name"] for found in bindings] == [rbac.NAME, rbac.OPTIONAL_NAME]
    assert bindings[0]["subjects"] == bindings[1]["subjects"]


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
    assert subjects == [[{"kind": "ServiceAccount", "namespace": "tools", "name": "worker"}]] * 4
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


def test_the_reviewed_rights_are_the_printed_ones() -> None:
    """Every verb of every rule is asked for once, by the object's name where the rule has one."""

    def printed(document: Manifest) -> list[Right]:
        return [
            Right(verb=verb, resource=rule["resources"][0], group=rule["apiGroups"][0], name=name)
            for rule in document["rules"]
            for name in rule.get("resourceNames") or [""]
            for verb in rule["verbs"]
        ]

    assert printed(rbac.role("fleet")) == rbac.required_rights(pull_secret=True)
    assert printed(rbac.optional_role("fleet")) == rbac.optional_rights()
    assert printed(rbac.cluster_role()) == rbac.node_rights()
    assert printed(rbac.optional_cluster_role()) == rbac.optional_cluster_rights()


def test_an_anonymous_registry_needs_no_right_on_secrets() -> None:
    """Then no Secret is written."""
    reviewed = rbac.required_rights(pull_secret=False)
    assert [right for right in reviewed if right.resource == "secrets"] == []
    assert len(reviewed) < len(rbac.required_rights(pull_secret=True))


def test_missing_rights_become_rules() -> None:
    """Two lacking verbs of one rule are one rule; a right of the same name in the cluster is another."""
    pods = [Right(verb="create", resource="pods"), Right(verb="delete", resource="pods")]
    assert rbac.snippets(pods, in_cluster=False) == [
        "Role rule: {apiGroups: [''], resources: [pods], verbs: [create, delete]}"
    ]
    everywhere = rbac.snippets([Right(verb="list", resource="pods")], in_cluster=True)
    assert everywhere == ["ClusterRole rule: {apiGroups: [''], resources: [pods], verbs: [list]}"]
    assert rbac.snippets([], in_cluster=True) == []
