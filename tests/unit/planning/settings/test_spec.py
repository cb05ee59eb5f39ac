"""Settings become a spec, or every problem at once, each naming its setting."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import commands
from domain.errors import SettingsInvalid
from domain.spec import BackendMode, ClusterSpec, ConfigSchema, Endpoint, KeyValue, OnFailure, SecretRef
from planning.settings import checks
from planning.settings.spec import backend_spec, bare_spec, cluster_spec, new_endpoint, problems, replicas, warnings
from planning.settings.table import BY_NAME, SETTINGS

LEAST = {"COORDINATOR_EP": "10.0.0.7", "IMAGE_REPO": "fluidex/prover-cluster"}


def _spec(**values: str) -> ClusterSpec:
    return cluster_spec(LEAST | values)


def _problems(**values: str) -> list[str]:
    with pytest.raises(SettingsInvalid) as caught:
        cluster_spec(LEAST | values)
    return caught.value.problems


def test_the_least_that_must_be_set_gives_the_defaults() -> None:
    """Coordinator and repository are enough; everything else has the default of the original or of the contract."""
    spec = _spec()
    assert (spec.cluster, spec.namespace) == ("default", "default")
    assert Endpoint(ip="10.0.0.7", port=50055) == spec.coordinator
    assert (spec.image.push_host, spec.image.pull_host) == ("docker.io", "docker.io")
    assert spec.image.push_auth is None
    assert (spec.replicas, spec.deploy_name, spec.circuit) == (2, "client", "")
    assert (spec.client_grace, spec.max_unavailable, spec.min_ready, spec.retry_for) == (5, "1", 1.0, 600)
    assert KeyValue(key="fluidexnode", value="computation") == spec.node_label
    assert KeyValue(key="dedicated", value="computation") == spec.node_taint
    assert (spec.config_schema, spec.on_failure, spec.allow_dirty) == (ConfigSchema.FLAT, OnFailure.HOLD, False)
    assert (spec.backend.host, spec.backend.base_image) == ("local", "prover")
    assert BackendMode.NONE is spec.backend_mode


def test_defaults_are_those_of_the_spec_model() -> None:
    """A default lives in the table for people and in the model for payloads; they must not part."""
    spec = _spec()
    model = ClusterSpec(coordinator=spec.coordinator, image=spec.image)
    assert model == spec


def test_a_backend_needs_no_setting_at_all() -> None:
    """Neither image nor coordinator; what is given reaches its steps all the same."""
    bare = backend_spec({})
    assert (bare.coordinator.ip, bare.coordinator.port, bare.circuit, bare.backend.host) == (
        "",
        50055,
        "",
        "local",
    )
    given_ = {
        "COORDINATOR_EP": "10.0.0.7",
        "COORDINATOR_PORT": "5000",
        "CIRCUIT": "big",
        "BACKEND_REPO": "/repo",
        "BACKEND_PROFILE": "fluidex",
        "PROVER_RETRY_FOR": "1m",
    }
    spec = backend_spec(given_)
    assert Endpoint(ip="10.0.0.7", port=5000) == spec.coordinator
    assert (spec.circuit, spec.backend.repo, spec.backend.profile, spec.retry_for) == ("big", "/repo", "fluidex", 60)


def test_the_problems_of_a_backend_come_all_at_once() -> None:
    """And of its settings only."""
    wrong = {"COORDINATOR_EP": "127.0.0.1", "CIRCUIT": "no circuit", "BACKEND_HOST": "a/b", "CLIENT_REPLICAS": "x"}
    with pytest.raises(SettingsInvalid) as caught:
        backend_spec(wrong)
    assert sorted(one.split("=")[0] for one in caught.value.problems) == ["BACKEND_HOST", "CIRCUIT", "COORDINATOR_EP"]


def test_an_empty_value_means_unset() -> None:
    """Every setting may be present and empty."""
    assert _spec() == cluster_spec({setting.name: "" for setting in SETTINGS} | LEAST)


def test_every_setting_reaches_the_spec() -> None:
    """Nothing of the table is parsed and then forgotten."""
    spec = cluster_spec(
        LEAST
        | {
            "CLUSTER_NS": "provers",
            "CLUSTER": "east",
            "COORDINATOR_PORT": "5000",
            "COORDINATOR_SERV": "http://proxy:80",
            "STAGE": "mine",
            "PROVER_ALLOW_DIRTY": "Yes",
            "PROVER_FORCE_TAG": "true",
            "PROVER_PRE_PULL": "off",
            "CLIENT_REPLICAS": "0",
            "CLUSTER_DEPLOYNAME": "cli",
            "CIRCUIT": "big",
            "CLIENT_CONFIG_SCHEMA": "struct",
            "CLIENT_CPU": "64",
            "CLIENT_MEMORY": "256Gi",
            "CLIENT_RESOURCES": "nvidia.com/gpu=2, example.com/fpga=1",
            "NODE_MIN_CPU": "32",
            "NODE_MIN_MEMORY": "64Gi",
            "PROVER_WAIT_FOR_NODES": "2d",
            "PROVER_ANSWER_WITHIN": "5m",
            "CLIENT_GRACE": "1h",
            "NODE_LABEL": "example.com/pool=a",
            "NODE_TAINT": "only=provers",
            "PROVER_MAX_UNAVAILABLE": "50%",
            "PROVER_MIN_READY": "0.5",
            "PROVER_ON_FAILURE": "remove",
            "PROVER_RETRY_FOR": "90",
            "BACKEND_REPO": "https://example.com/backend.git",
            "BACKEND_REF": "v1.2",
            "BACKEND_PROFILE": "fluidex",
            "BACKEND_HOST": "big1",
            "CIRCUIT_DIR": "circuits/block",
            "PROVER_BASE_IMAGE": "fluidex/prover:v1",
            "PROVER_BASE_CONTEXT": "prover-cluster",
            "PROVER_BASE_DOCKERFILE": "docker/prover.docker",
            "CLIENT_COMMAND": "client --verbose",
            "CLIENT_WORKDIR": "/srv",
        },
        mode=BackendMode.SIMULATED,
    )
    untouched = _spec().model_dump()
    image = {"image": untouched.pop("image")}
    unwanted = {"progress_deadline": untouched.pop("progress_deadline")}
    assert image["image"] == spec.model_dump()["image"]
    assert [name for name, value in untouched.items() if spec.model_dump()[name] == value] == []
    assert unwanted["progress_deadline"] == 3600
    assert spec.client_grace == 3600
    backend = spec.backend
    assert (backend.base_dockerfile, backend.client_command) == ("docker/prover.docker", "client --verbose")
    assert (backend.client_workdir, _spec().backend.client_workdir) == ("/srv", "/opt")
    assert spec.deployment_id == "prover-cluster/east/provers"


@pytest.mark.parametrize(
    ("values", "hosts"),
    [
        ({}, ("docker.io", "docker.io", "fluidex/prover-cluster")),
        ({"IMAGE_HOST": "a.b:5000"}, ("a.b:5000", "a.b:5000", "fluidex/prover-cluster")),
        ({"IMAGE_HOST_ALIAS": "c.d"}, ("docker.io", "c.d", "fluidex/prover-cluster")),
        ({"IMAGE_REPO": "fluidex.com/p"}, ("fluidex.com", "fluidex.com", "p")),
        ({"IMAGE_REPO": "localhost/p"}, ("localhost", "localhost", "p")),
        ({"IMAGE_REPO": "reg:5000/a/p"}, ("reg:5000", "reg:5000", "a/p")),
        ({"IMAGE_REPO": "fluidex.com/p", "IMAGE_HOST": "10.0.0.1:5000"}, ("10.0.0.1:5000", "fluidex.com", "p")),
        ({"IMAGE_REPO": "fluidex.com/p", "IMAGE_HOST_ALIAS": "x.y"}, ("fluidex.com", "x.y", "p")),
    ],
)
def test_a_repository_that_begins_with_a_host_sets_both_hosts(
    values: dict[str, str], hosts: tuple[str, str, str]
) -> None:
    """R3: what looks like a host is the default of IMAGE_HOST and IMAGE_HOST_ALIAS."""
    image = _spec(**values).image
    assert hosts == (image.push_host, image.pull_host, image.repository)


def test_credentials_become_a_reference_and_never_part_of_the_spec() -> None:
    """The starter's own credential makes the reference required and names the machine that holds it."""
    secret = "hunter2"
    spec = cluster_spec(LEAST | {"IMAGE_AUTH_USER": "u", "IMAGE_AUTH_PASSWORD": secret}, seen_on="laptop")
    expected = SecretRef(ref="env:IMAGE_AUTH", required=True, seen_on="laptop")
    assert (expected, expected) == (spec.image.push_auth, spec.image.pull_auth)
    assert secret not in spec.model_dump_json()


def test_an_explicit_reference_wins_over_the_pair() -> None:
    """Push and pull may differ; only Docker's own configuration may turn out to be anonymous."""
    image = _spec(
        IMAGE_AUTH_USER="u", IMAGE_AUTH_PASSWORD="p", IMAGE_PUSH_AUTH="docker-config", IMAGE_PULL_AUTH="file:/run/pull"
    ).image
    assert SecretRef(ref="docker-config", required=False) == image.push_auth
    assert SecretRef(ref="file:/run/pull", required=True) == image.pull_auth


@pytest.mark.parametrize(("present", "absent"), [("USER", "PASSWORD"), ("PASSWORD", "USER")])
def test_half_a_pair_is_an_error_that_does_not_show_it(present: str, absent: str) -> None:
    """Going on anonymously would be a surprise, and the value is a secret."""
    [problem] = _problems(**{f"IMAGE_AUTH_{present}": "hunter2"})
    assert f"IMAGE_AUTH_{absent} is not" in problem
    assert "hunter2" not in problem


def test_all_problems_are_reported_at_once() -> None:
    """The user mends them in one go."""
    found = _problems(
        COORDINATOR_EP="coordinator.local",
        COORDINATOR_PORT="0",
        IMAGE_REPO="Foo/Bar",
        STAGE="-x-",
        CLIENT_REPLICAS="-1",
        CLUSTER_NS="My_Namespace",
        CLIENT_MEMORY="512m",
    )
    names = {problem.split("=")[0] for problem in found}
    assert {
        "COORDINATOR_EP",
        "COORDINATOR_PORT",
        "IMAGE_REPO",
        "STAGE",
        "CLIENT_REPLICAS",
        "CLUSTER_NS",
        "CLIENT_MEMORY",
    } == names
    assert len(found) == len(names)


def test_what_must_be_set_and_is_not() -> None:
    """Nothing set at all: two sentences, not one."""
    with pytest.raises(SettingsInvalid) as caught:
        cluster_spec({})
    assert [problem.split()[0] for problem in caught.value.problems] == ["IMAGE_REPO", "COORDINATOR_EP"]


@pytest.mark.parametrize("ip", ["coordinator", "127.0.0.1", "169.254.0.1", "fe80::1%eth0", "10.0.0", "::1"])
def test_an_address_that_no_node_can_reach_is_refused(ip: str) -> None:
    """One sentence, with the value in it."""
    [problem] = _problems(COORDINATOR_EP=ip)
    assert problem.startswith(f"COORDINATOR_EP={ip!r}")


@pytest.mark.parametrize("port", ["0", "70000", "-1", "x", "5e4", "٣", "1_000"])
def test_a_port_that_is_none_is_refused_once(port: str) -> None:
    """Also digits of other scripts and Python's own notation."""
    [problem] = _problems(COORDINATOR_PORT=port)
    assert problem.startswith("COORDINATOR_PORT=")


@pytest.mark.parametrize("value", ["10.0.0.7\n", "\x1b[31m", "a\u202eb", "x\u2028y"])
def test_control_characters_are_refused_and_shown_escaped(value: str) -> None:
    """They would forge lines in terminals and logs."""
    for name in BY_NAME:
        [problem] = problems({name: value}, [name])
        assert "control character" in problem
        assert value not in problem


def test_a_password_with_any_character_but_control_characters_is_fine() -> None:
    """Dollars, quotes and spaces belong to passwords."""
    assert problems({"IMAGE_AUTH_PASSWORD": "p$ w'\"#=ö"}, ["IMAGE_AUTH_PASSWORD"]) == []


def test_values_that_look_like_secrets_are_not_shown() -> None:
    """A password where a reference belongs, and credentials in a URL."""
    found = _problems(IMAGE_PUSH_AUTH="hunter2", COORDINATOR_SERV="http://u:hunter2@h", IMAGE_HOST="u:hunter2@h.x")
    assert len(found) == 3
    assert "hunter2" not in " ".join(found)


def test_a_long_value_is_cut() -> None:
    """A message stays readable."""
    [problem] = _problems(STAGE="x" * 5000)
    assert len(problem) < 400


def test_reset_endpoint_keeps_the_port_that_is_not_named() -> None:
    """R10: the default of COORDINATOR_PORT belongs to a first deploy only."""
    assert commands.ResetEndpoint(ip="10.0.0.8", port=None) == new_endpoint({"COORDINATOR_EP": "10.0.0.8"})
    both = {"COORDINATOR_EP": "10.0.0.8", "COORDINATOR_PORT": "9"}
    assert commands.ResetEndpoint(ip="10.0.0.8", port=9) == new_endpoint(both)


@pytest.mark.parametrize(
    "values", [{}, {"COORDINATOR_EP": "host"}, {"COORDINATOR_EP": "1.2.3.4", "COORDINATOR_PORT": "x"}]
)
def test_reset_endpoint_refuses_what_deploy_refuses(values: dict[str, str]) -> None:
    """The same rules, one sentence each."""
    with pytest.raises(SettingsInvalid) as caught:
        new_endpoint(values)
    assert len(caught.value.problems) == 1


def test_the_largest_number_of_clients_is_the_domains() -> None:
    """The syntax module may not import the domain, so the number stands twice."""
    assert commands.MAX_REPLICAS == checks.MAX_REPLICAS
    assert replicas("5000") == commands.MAX_REPLICAS


@pytest.mark.parametrize("value", ["-1", "x", "1000000000", "2.0", " 2", "5001", "1e3"])
def test_a_number_of_clients_that_is_none(value: str) -> None:
    """Scale names its argument, not the setting."""
    with pytest.raises(SettingsInvalid) as caught:
        replicas(value)
    assert caught.value.problems[0].startswith(f"N={value!r}")


def test_a_spec_for_looking_and_tearing_down_needs_neither_coordinator_nor_image() -> None:
    """What does not matter for it is not judged either."""
    spec = bare_spec({"CLUSTER_NS": "provers", "IMAGE_REPO": "BAD", "BACKEND_HOST": "big1"})
    assert (spec.namespace, spec.backend.host) == ("provers", "big1")


def test_warnings_name_what_is_unwise() -> None:
    """`default`, no requests, and an upstream that makes reset-endpoint pointless; nothing where all is well."""
    found = warnings(_spec(COORDINATOR_SERV="http://h:1"))
    assert [one.split()[0] for one in found] == ["CLUSTER_NS", "CLIENT_CPU", "CLIENT_MEMORY", "COORDINATOR_SERV"]
    assert warnings(_spec(CLUSTER_NS="p", CLIENT_CPU="1", CLIENT_MEMORY="1Gi")) == []


@given(st.dictionaries(st.sampled_from(sorted(BY_NAME)), st.text(max_size=300)))
def test_whatever_is_set_gives_a_spec_or_named_problems(values: dict[str, str]) -> None:
    """No input crashes; each problem is one printable line that begins with a setting's name."""
    try:
        spec = cluster_spec(values)
    except SettingsInvalid as error:
        for problem in error.problems:
            assert problem.isprintable()
            assert problem.split("=")[0].split()[0] in BY_NAME
    else:
        assert spec == ClusterSpec.model_validate_json(spec.model_dump_json())


def test_every_default_passes_its_own_check() -> None:
    """A table that contradicts itself would refuse the empty environment."""
    assert [one.name for one in SETTINGS if one.default and one.check(one.default)] == []
