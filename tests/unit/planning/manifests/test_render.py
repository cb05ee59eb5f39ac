"""Rendering keeps the original's names and none of its traps."""

import base64
import json
from typing import Any

import pytest
import yaml

from domain.kubernetes import Manifest
from domain.spec import Backend, ClusterSpec, ConfigSchema, Endpoint, ImageTarget
from domain.status import Release
from planning.manifests import render

DIGEST = "sha256:" + "a" * 64
OWNER = "temporal-1/default/prover-cluster/default/fleet"
IMAGE = ImageTarget(repository="fluidex/prover", push_host="push.example.com", pull_host="pull.example.com:5000")


def spec(**changes: Any) -> ClusterSpec:
    """Return a spec with what a test cares about."""
    values: dict[str, Any] = {"namespace": "fleet", "coordinator": Endpoint(ip="10.1.2.3"), "image": IMAGE}
    return ClusterSpec(**values | changes)


def release(stage: str = "abc1234") -> Release:
    """Return the release of one commit."""
    return Release(stage=stage, image=f"pull.example.com:5000/fluidex/prover:client-{stage}@{DIGEST}")


def objects(wanted: ClusterSpec, *, user: str = "65532", pull_secret: bool = True) -> dict[str, Manifest]:
    """Return the rendered objects by kind."""
    rendered = render.render(wanted, release(), owner=OWNER, image_user=user, pull_secret=pull_secret)
    return {manifest["kind"]: manifest for manifest in rendered}


def pod(wanted: ClusterSpec, *, user: str = "65532", pull_secret: bool = True) -> dict[str, Any]:
    """Return the rendered pod's spec."""
    found: dict[str, Any] = objects(wanted, user=user, pull_secret=pull_secret)["Deployment"]["spec"]["template"][
        "spec"
    ]
    return found


def environment(wanted: ClusterSpec) -> dict[str, Any]:
    """Return the client's environment by name."""
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in pod(wanted)["containers"][0]["env"]}


def config(wanted: ClusterSpec) -> dict[str, Any]:
    """Return the client's configuration file, parsed."""
    parsed: dict[str, Any] = yaml.safe_load(objects(wanted)["ConfigMap"]["data"]["client"])
    return parsed


def test_objects_come_in_apply_order_under_their_known_names() -> None:
    """What pods need exists before the Deployment; names are the original's."""
    rendered = render.render(spec(), release(), owner=OWNER, pull_secret=True)
    assert [(manifest["kind"], manifest["metadata"]["name"]) for manifest in rendered] == [
        ("ConfigMap", "cluster-conf"),
        ("Service", "cluster-coordinator"),
        ("EndpointSlice", "cluster-coordinator"),
        ("PodDisruptionBudget", "prover-cli-t"),
        ("Deployment", "prover-cli-t"),
    ]


def test_every_object_names_owner_stage_and_namespace() -> None:
    """Each object can be found by label and says whose it is; nothing carries last-applied."""
    for manifest in render.render(spec(), release(), owner=OWNER, pull_secret=True):
        meta = manifest["metadata"]
        assert meta["namespace"] == "fleet"
        assert meta["annotations"] == {"prover-cluster/owner": OWNER}
        assert (
            meta["labels"].items()
            >= {
                "app.kubernetes.io/name": "prove-client",
                "app.kubernetes.io/instance": "fleet",
                "app.kubernetes.io/version": "abc1234",
                "app.kubernetes.io/managed-by": "prover-cluster",
                "app.kubernetes.io/part-of": "prover-cluster",
                "app": "client",
                "stage": "abc1234",
            }.items()
        )


def test_selector_survives_a_new_commit() -> None:
    """The immutable selector holds `app` alone; the stage is a plain label of Deployment and pods."""
    deployment = objects(spec())["Deployment"]
    assert deployment["spec"]["selector"] == {"matchLabels": {"app": "client"}}
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert labels.items() >= {"app": "client", "role": "cluster-prover", "stage": "abc1234"}.items()


def test_deploy_name_is_the_pods_app_label_only() -> None:
    """CLUSTER_DEPLOYNAME changes selector, pods and disruption budget; the Deployment stays `app: client`."""
    found = objects(spec(deploy_name="mine"))
    deployment = found["Deployment"]
    assert deployment["metadata"]["labels"]["app"] == "client"
    assert deployment["spec"]["selector"] == {"matchLabels": {"app": "mine"}}
    assert deployment["spec"]["template"]["metadata"]["labels"]["app"] == "mine"
    assert found["PodDisruptionBudget"]["spec"]["selector"] == {"matchLabels": {"app": "mine"}}


@pytest.mark.parametrize(("given", "expected"), [("1", 1), ("3", 3), ("25%", "25%")])
def test_updates_need_no_spare_node(given: str, expected: int | str) -> None:
    """No surge, and as many unavailable as the setting says, for rollouts and for drains."""
    found = objects(spec(max_unavailable=given))
    rolling = {"maxSurge": 0, "maxUnavailable": expected}
    assert found["Deployment"]["spec"]["strategy"] == {"type": "RollingUpdate", "rollingUpdate": rolling}
    assert found["PodDisruptionBudget"]["spec"]["maxUnavailable"] == expected


def test_one_client_a_node_over_all_namespaces() -> None:
    """Labelled nodes are required, the taint is tolerated with every effect, two provers never share a node."""
    found = pod(spec())
    assert found["tolerations"] == [{"key": "dedicated", "operator": "Equal", "value": "computation"}]
    assert found["affinity"]["nodeAffinity"] == {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [
                {"matchExpressions": [{"key": "fluidexnode", "operator": "In", "values": ["computation"]}]}
            ]
        }
    }
    assert found["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] == [
        {
            "labelSelector": {"matchLabels": {"role": "cluster-prover"}},
            "namespaceSelector": {},
            "topologyKey": "kubernetes.io/hostname",
        }
    ]


def test_environment_of_the_client() -> None:
    """The variables of the original; the id is the pod's own name."""
    assert environment(spec()) == {
        "RUST_LOG": "info",
        "CLIENT_PROVER_ID": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}},
        "CLIENT_CONFIG": "config/client.yaml",
        "CLIENT_CIRCUIT": "block",
    }


def test_the_configuration_is_found_from_another_working_directory() -> None:
    """By its whole path, for the original's is relative to /opt."""
    elsewhere = spec(backend=Backend(client_workdir="/srv"))
    assert environment(elsewhere)["CLIENT_CONFIG"] == "/opt/config/client.yaml"


def test_upstream_override_reaches_the_clients() -> None:
    """COORDINATOR_SERV is given as CLIENT_UPSTREAM; the EndpointSlice leads to COORDINATOR_EP all the same."""
    wanted = spec(coordinator_serv="http://coordinator.example.com:50055")
    assert environment(wanted)["CLIENT_UPSTREAM"] == "http://coordinator.example.com:50055"
    assert render.upstream(wanted) == "http://coordinator.example.com:50055"
    assert objects(wanted)["EndpointSlice"] == objects(spec())["EndpointSlice"]


def test_flat_configuration_is_the_originals() -> None:
    """The default schema has every key of the original, circuit as a word."""
    found = config(spec(circuit="small"))
    del found["prover_id"]
    assert found == {
        "upstream": "http://cluster-coordinator",
        "poll_interval": 10000,
        "circuit": "small",
        "r1cs": "/opt/circuit/circuit.r1cs",
        "srs_monomial_form": "/opt/circuit/mon.key",
        "srs_lagrange_form": "/opt/circuit/lag.key",
        "vk": "/opt/circuit/vk.bin",
    }


def test_a_key_that_the_image_lacks_is_not_named() -> None:
    """The client would end at once; its pods start anew when that changes, and with the key nothing changes at all."""
    without = release().model_copy(update={"lagrange": False})
    found = {one["kind"]: one for one in render.render(spec(), without, owner=OWNER, pull_secret=True)}
    told = yaml.safe_load(found["ConfigMap"]["data"]["client"])
    assert {**told, "srs_lagrange_form": "/opt/circuit/lag.key"} == config(spec())
    template = found["Deployment"]["spec"]["template"]["metadata"]["annotations"]["prover-cluster/config-hash"]
    assert template == render.config_hash(spec(), lagrange=False) != render.config_hash(spec())
    struct = spec(config_schema=ConfigSchema.STRUCT)
    assert render.config_hash(struct, lagrange=False) == render.config_hash(struct)


def test_nothing_is_rendered_of_a_schema_that_is_not_settled() -> None:
    """A guess would end every client."""
    with pytest.raises(ValueError, match="settled"):
        render.config_hash(spec(config_schema=ConfigSchema.AUTO))


def test_struct_configuration_goes_without_client_circuit() -> None:
    """The struct schema nests the circuit and must not see CLIENT_CIRCUIT, which makes that client panic."""
    wanted = spec(config_schema=ConfigSchema.STRUCT)
    assert set(config(wanted)["circuit"]) == {"name", "bin", "r1cs"}
    assert "srs_lagrange_form" not in config(wanted)
    assert "CLIENT_CIRCUIT" not in environment(wanted)


def test_configuration_is_mounted_as_a_read_only_file() -> None:
    """The ConfigMap's key `client` is /opt/config/client.yaml."""
    found = pod(spec())
    assert found["volumes"][0]["configMap"] == {
        "name": "cluster-conf",
        "items": [{"key": "client", "path": "client.yaml"}],
    }
    assert found["containers"][0]["volumeMounts"] == [{"name": "config", "mountPath": "/opt/config", "readOnly": True}]


def test_configuration_change_restarts_pods_and_an_endpoint_change_does_not() -> None:
    """The hash in the pod template follows the file; clients find a new endpoint by themselves."""
    moved = spec(coordinator=Endpoint(ip="10.9.9.9", port=1234))
    assert render.config_hash(moved) == render.config_hash(spec())
    assert pod(moved) == pod(spec())
    assert render.config_hash(spec(circuit="other")) != render.config_hash(spec())
    annotations = objects(spec())["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {"prover-cluster/config-hash": render.config_hash(spec())}


def test_config_hash_never_changes_for_an_unchanged_spec() -> None:
    """A new version of this program must not restart a fleet that did not change."""
    assert render.config_hash(spec()) == "771136536dffa56c"


@pytest.mark.parametrize("user", ["65532", "1000:1000", "1000:0"])
def test_unprivileged_image_gets_the_restricted_profile(user: str) -> None:
    """A numeric USER other than 0 satisfies every demand of Pod Security "restricted"."""
    found = pod(spec(), user=user)
    assert found["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}, "runAsNonRoot": True}
    assert found["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert render.image_warnings(user) == []


@pytest.mark.parametrize(
    ("user", "says"),
    [
        ("", "runs as root"),
        ("0", "runs as root"),
        ("root", "runs as root"),
        ("0:0", "runs as root"),
        ("nobody", "names"),
    ],
)
def test_other_images_run_with_a_warning(user: str, says: str) -> None:
    """Root, and a name that kubelet cannot verify, would never start under runAsNonRoot: it is omitted and said."""
    assert "runAsNonRoot" not in pod(spec(), user=user)["securityContext"]
    (warning,) = render.image_warnings(user)
    assert says in warning


def test_pods_get_nothing_they_do_not_need() -> None:
    """No service account token, no service variables, the grace period of the setting."""
    found = pod(spec(client_grace=7))
    assert found["automountServiceAccountToken"] is False
    assert found["enableServiceLinks"] is False
    assert found["terminationGracePeriodSeconds"] == 7


def test_pull_secret_is_named_only_when_it_exists() -> None:
    """An anonymous registry means no `img-cred` anywhere."""
    assert pod(spec())["imagePullSecrets"] == [{"name": "img-cred"}]
    assert "img-cred" not in json.dumps(pod(spec(), pull_secret=False))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"client_cpu": "60"}, {"requests": {"cpu": "60"}}),
        ({"client_memory": "200Gi"}, {"requests": {"memory": "200Gi"}, "limits": {"memory": "200Gi"}}),
        (
            {"client_cpu": "60", "client_memory": "200Gi"},
            {"requests": {"cpu": "60", "memory": "200Gi"}, "limits": {"memory": "200Gi"}},
        ),
    ],
)
def test_requests_are_optional(changes: dict[str, str], expected: dict[str, Any] | None) -> None:
    """Memory is limited to what is requested; CPU never is."""
    assert pod(spec(**changes))["containers"][0].get("resources") == expected


def test_image_with_a_digest_is_not_pulled_twice() -> None:
    """A digest names one content; a tag alone has to be asked for again."""
    assert pod(spec())["containers"][0]["imagePullPolicy"] == "IfNotPresent"
    bare = Release(stage="abc1234", image=render.image_reference(spec(), "abc1234"))
    deployment = render.render(spec(), bare, owner=OWNER, pull_secret=False)[-1]
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "pull.example.com:5000/fluidex/prover:client-abc1234"
    assert container["imagePullPolicy"] == "Always"


@pytest.mark.parametrize(
    ("ip", "family", "address"),
    [("10.1.2.3", "IPv4", "10.1.2.3"), ("2001:DB8:0::1", "IPv6", "2001:db8::1")],
)
def test_service_leads_to_the_coordinator(ip: str, family: str, address: str) -> None:
    """Port 80 of a Service without selector goes to the coordinator; port names agree, or nothing would be routed."""
    found = objects(spec(coordinator=Endpoint(ip=ip, port=7000)))
    service, endpoints = found["Service"]["spec"], found["EndpointSlice"]
    assert service["type"] == "ClusterIP"
    assert "selector" not in service
    assert service["ports"] == [{"name": "http", "port": 80, "targetPort": 7000, "protocol": "TCP"}]
    assert service["ipFamilies"] == [family]
    assert endpoints["addressType"] == family
    assert endpoints["endpoints"] == [{"addresses": [address], "conditions": {"ready": True}}]
    assert endpoints["ports"] == [{"name": "http", "port": 7000, "protocol": "TCP"}]
    assert endpoints["metadata"]["labels"]["kubernetes.io/service-name"] == "cluster-coordinator"
    assert endpoints["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == "prover-cluster"


@pytest.mark.parametrize(
    ("host", "key"),
    [("pull.example.com:5000", "pull.example.com:5000"), ("docker.io", "https://index.docker.io/v1/")],
)
def test_pull_secret_is_keyed_by_the_pull_host(host: str, key: str) -> None:
    """Kubelet looks the login up by the host that pods pull from; Docker Hub's key is its own."""
    wanted = spec(image=IMAGE.model_copy(update={"pull_host": host}))
    secret = render.pull_secret(wanted, "me", "pass:wörd", OWNER)
    assert (secret["metadata"]["name"], secret["type"]) == ("img-cred", "kubernetes.io/dockerconfigjson")
    assert "stringData" not in secret
    decoded = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))
    assert list(decoded["auths"]) == [key]
    assert base64.b64decode(decoded["auths"][key]["auth"]).decode() == "me:pass:wörd"


def test_namespace_marks_hold_nothing_but_the_marks() -> None:
    """The apply document must not claim anything else of a Namespace that others own; empty marks are taken off."""
    assert render.namespace_marks(spec(), "abc1234", OWNER) == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "fleet", "annotations": {"stage": "abc1234", "prover-cluster/owner": OWNER}},
    }
    assert render.namespace_marks(spec(), "", "") == render.namespace_object(spec())


def test_equal_input_renders_equal_output() -> None:
    """Rendering twice gives the same documents, byte for byte."""
    once, twice = (json.dumps(objects(spec())) for _ in range(2))
    assert once == twice
