"""The checks of the backend host over fakes: what a build would fail with, and nothing built."""

from collections.abc import Mapping, Sequence

import pytest

from activities.host.preflight import Host, HostPreflightActivities, host_checks
from domain.errors import (
    CredentialsMissing,
    CredentialsRejected,
    ImageInputMissing,
    NotARepository,
    SettingsInvalid,
    Unavailable,
)
from domain.messages.backend import LoadedProfile, ProfileFacts
from domain.messages.image import BaseConfig
from domain.messages.inspection import Check, CheckVerdict, PreflightReport, PreflightRequest
from domain.messages.source import Checkout, Source
from domain.ports import Beat, Secrets
from domain.profile import Profile
from domain.spec import Backend, ConfigSchema, ImageTarget, SecretRef
from tests.support.kubernetes.activities import ID, FakeSecrets, Room, make_spec, with_login

OK, WARNING, FAILED = CheckVerdict.OK, CheckVerdict.WARNING, CheckVerdict.FAILED


def verdicts(checks: list[Check]) -> dict[str, CheckVerdict]:
    """Those that are not ok."""
    return {check.name: check.verdict for check in checks if check.verdict is not OK}


class FakeImagePreflight:
    """Everything is there; `faults` by method are raised."""

    def __init__(self) -> None:
        self.faults: dict[str, Exception] = {}
        self.asked: list[str] = []
        self.schema: ConfigSchema | None = None
        self.built = ""
        self.command = ["/usr/bin/client"]

    def _answer(self, method: str, answer: str) -> str:
        self.asked.append(method)
        if method in self.faults:
            raise self.faults[method]
        return answer

    def engine(self) -> str:
        """Docker."""
        return self._answer("engine", "version 20")

    def base_image(self, name: str) -> BaseConfig:
        """Its configuration."""
        self._answer("base_image", "")
        return BaseConfig(user="65532" if name == "prover" else "", command=self.command)

    def base_context(self, repo: str, base_context: str, dockerfile: str) -> tuple[str, str]:
        """What it is built of."""
        assert dockerfile == "Dockerfile"
        return self._answer("base_context", f"2 files in {repo}/{base_context}"), self.built

    def circuit(self, repo: str, circuit_dir: str, schema: ConfigSchema) -> str:
        """The files."""
        self.schema = schema
        return self._answer("circuit", f"3 files in {repo}/{circuit_dir}")

    def push(self, target: ImageTarget) -> str:
        """The registry."""
        return self._answer("push", f"may push to {target.repository}")

    def pull(self, target: ImageTarget, stage: str) -> str:
        """The other one."""
        return self._answer("pull", f"may pull {target.repository} {stage}")


class FakeSources:
    """One commit."""

    def __init__(self) -> None:
        self.fault: Exception | None = None
        self.schema: ConfigSchema | None = None

    def checkout(self, repo: str, ref: str, beat: Beat) -> Checkout:
        """Into a directory of its own."""
        beat("fetching")
        if self.fault:
            raise self.fault
        return Checkout(directory=f"/state/{repo.rsplit('/', 1)[-1]}@{ref}", commit="a" * 40)

    def located(self, repo: str, ref: str) -> str:
        """Nobody asks."""
        raise AssertionError(repo, ref)

    def resolve(self, repo: str, *, stage: str, allow_dirty: bool, data: Sequence[str] = ()) -> Source:  # noqa: ARG002
        """The commit; always clean."""
        if self.fault:
            raise self.fault
        return Source(commit="a" * 40, stage=stage or "aaaaaaa", config_schema=self.schema)


class HostRoom:
    """A backend host that has everything, and the checks of it."""

    def __init__(self) -> None:
        self.image_preflight = FakeImagePreflight()
        self.sources = FakeSources()
        self.facts_ = ProfileFacts(name="example")
        self.spec = make_spec(backend=Backend(repo="/srv/backend", circuit_dir="circuit"))

    def load(self, backend: Backend, variables: Mapping[str, str]) -> LoadedProfile:
        """Its profile names the circuit."""
        assert variables["CIRCUIT"] == (self.facts_.circuit or "block")
        return LoadedProfile(profile=Profile(name="example", circuit_dir="of-profile", steps=[]), repo=backend.repo)

    def facts(self, backend: Backend, variables: Mapping[str, str]) -> ProfileFacts:  # noqa: ARG002
        """What the source is judged by."""
        return self.facts_

    def step_at(self, key: str, moment: int) -> str:
        """Nobody asks before a set-up."""
        raise AssertionError(key, moment)

    def look(self, secrets: Secrets | None = None) -> PreflightReport:
        """The report."""
        host = Host(self.sources, self.image_preflight, self, secrets or FakeSecrets())
        request = PreflightRequest(spec=self.spec, deployment_id=ID)
        return host_checks(host, request, lambda _: None)


@pytest.fixture
def room() -> HostRoom:
    """A host that lacks nothing."""
    return HostRoom()


def test_a_healthy_host_is_ok_in_the_order_of_a_deploy(room: HostRoom) -> None:
    """What the cluster's checks need to know comes with it."""
    report = room.look()
    assert verdicts(report.checks) == {}
    assert [check.name for check in report.checks] == [
        "source",
        "push credentials",
        "pull credentials",
        "Docker",
        "base image",
        "circuit",
        "circuit name",
        "registry push",
        "registry pull",
    ]
    assert (report.stage, report.image_user) == ("aaaaaaa", "65532")


CONFIG = {"config/coordinator.yaml": ["block_2"]}


@pytest.mark.parametrize(
    ("given", "facts", "verdict", "words"),
    [
        ("", ProfileFacts(), OK, ["block, the default"]),
        ("", ProfileFacts(circuit="block_2"), OK, ["block_2, as the backend profile has it"]),
        ("block_7", ProfileFacts(), OK, ["block_7, as CIRCUIT has it"]),
        ("", ProfileFacts(circuit="block_2", circuits=CONFIG), OK, ["block_2, as config/coordinator.yaml"]),
        ("block", ProfileFacts(circuit="block_2"), WARNING, ["prove block,", "the backend profile has block_2"]),
        ("block", ProfileFacts(circuits=CONFIG), WARNING, ["prove block,", "config/coordinator.yaml has block_2"]),
    ],
)
def test_the_circuit_is_compared(
    room: HostRoom, given: str, facts: ProfileFacts, verdict: CheckVerdict, words: list[str]
) -> None:
    """By its name in the profile and in the configuration of the backend's programs; both are named."""
    room.facts_ = facts
    room.spec = room.spec.model_copy(update={"circuit": given})
    check = next(check for check in room.look().checks if check.name == "circuit name")
    assert (check.verdict, [word for word in words if word not in check.detail]) == (verdict, [])
    assert ("set CIRCUIT=block_2" in check.do) == (verdict is WARNING)


def test_an_image_that_runs_as_root_is_a_warning(room: HostRoom) -> None:
    """Whether that is an end, the cluster's Pod Security says."""
    room.spec = make_spec(backend=room.spec.backend.model_copy(update={"base_image": "other"}))
    report = room.look()
    assert (verdicts(report.checks), report.image_user) == ({"base image": WARNING}, "")


def test_what_the_clients_run_is_told(room: HostRoom) -> None:
    """A base image without a command of its own is judged by its configuration."""
    room.image_preflight.command = ["bash"]
    base = next(check for check in room.look().checks if check.name == "base image")
    said = "clients run `client` in /opt, in place of `bash` in /, as the base image has it"
    assert (base.verdict, base.detail) == (OK, f"prover is there; {said}, as user 65532")


def test_a_base_image_from_a_context(room: HostRoom) -> None:
    """Unless it was built already, its user is not known; a fault of the context is the check's."""
    context = {"base_context": "client", "base_image": "unused"}
    room.spec = make_spec(backend=room.spec.backend.model_copy(update=context))
    report = room.look()
    base = next(check for check in report.checks if check.name == "base image")
    assert (base.verdict, report.image_user) == (OK, None)
    assert base.detail == "a deploy builds it from 2 files in /srv/backend/client"
    room.image_preflight.built = "prover"
    report = room.look()
    assert (verdicts(report.checks), report.image_user) == ({}, "65532")
    room.image_preflight.faults["base_context"] = ImageInputMissing("there is no Dockerfile")
    assert verdicts(room.look().checks) == {"base image": FAILED}


def test_without_docker_nothing_of_it_is_asked_again(room: HostRoom) -> None:
    """It also says which registries are insecure; the circuit is looked at all the same."""
    room.image_preflight.faults["engine"] = Unavailable("Docker does not answer", code="DOCKER_DOWN")
    report = room.look()
    assert (verdicts(report.checks), report.image_user) == ({"Docker": FAILED}, None)
    assert room.image_preflight.asked == ["engine", "circuit"]


@pytest.mark.parametrize(
    ("method", "fault", "name"),
    [
        ("base_image", ImageInputMissing("no such image"), "base image"),
        ("circuit", ImageInputMissing("mon.key is missing"), "circuit"),
        ("push", CredentialsRejected("registry refuses us"), "registry push"),
        ("push", Unavailable("registry does not answer"), "registry push"),
        ("pull", CredentialsRejected("registry refuses us"), "registry pull"),
    ],
)
def test_each_fault_is_its_own_check(room: HostRoom, method: str, fault: Exception, name: str) -> None:
    """The others are looked at all the same."""
    room.image_preflight.faults[method] = fault
    assert verdicts(room.look().checks) == {name: FAILED}


def test_a_source_that_cannot_be_read(room: HostRoom) -> None:
    """Then the stage is not known, and the pull is looked for under a name that nobody has."""
    room.sources.fault = NotARepository("no work tree")
    report = room.look()
    assert (verdicts(report.checks), report.stage) == ({"source": FAILED}, "")
    assert report.checks[-1].detail.endswith("preflight")


def test_a_source_that_has_to_be_checked_out_first(room: HostRoom) -> None:
    """Then everything else is looked at there, and without it not at all."""
    apart = Backend(repo="https://git.example.com/backend", ref="v1", circuit_dir="circuit")
    room.spec = make_spec(backend=apart)
    report = room.look()
    found = {check.name: check.detail for check in report.checks}
    assert found["circuit"] == "circuit: 3 files in /state/backend@v1/circuit"
    assert found["source"].startswith("commit aaaaaaaaaaaa of https://git.example.com/backend@v1")
    room.sources.fault = Unavailable("the git server does not answer")
    report = room.look()
    assert verdicts(report.checks) == {"source": FAILED}
    assert "circuit" not in [check.name for check in report.checks]


@pytest.mark.parametrize(
    ("asked", "found", "verdict"),
    [
        (ConfigSchema.AUTO, ConfigSchema.STRUCT, {}),
        (ConfigSchema.AUTO, None, {"source": FAILED}),
        (ConfigSchema.FLAT, ConfigSchema.STRUCT, {"source": FAILED}),
        (ConfigSchema.STRUCT, None, {}),
    ],
)
def test_a_configuration_that_the_client_does_not_take(
    room: HostRoom, asked: ConfigSchema, found: ConfigSchema | None, verdict: dict[str, CheckVerdict]
) -> None:
    """Told by the client's own source, as a deploy would."""
    room.spec = make_spec(backend=room.spec.backend, config_schema=asked)
    room.sources.schema = found
    assert verdicts(room.look().checks) == verdict
    assert room.image_preflight.schema is (asked if verdict else found or asked)


def test_a_credential_that_this_host_lacks(room: HostRoom) -> None:
    """The registry is not asked without it: its refusal would say nothing new."""

    class Empty:
        def login(self, ref: SecretRef | None, host: str) -> None:
            if ref:
                raise CredentialsMissing("cannot be resolved", on=host)

    room.spec = with_login(room.spec)
    assert verdicts(room.look(Empty()).checks) == {"pull credentials": FAILED}
    assert "pull" not in room.image_preflight.asked


def test_the_profile_names_the_circuit(room: HostRoom) -> None:
    """Where the settings do not."""
    room.spec = make_spec(backend=Backend(repo="/srv/backend"))
    circuit = next(check for check in room.look().checks if check.name == "circuit")
    assert circuit.detail == "of-profile: 3 files in /srv/backend/of-profile"


def test_the_activity_beats(room: HostRoom) -> None:
    """By the name of each check."""
    host = Host(room.sources, room.image_preflight, room, FakeSecrets())
    calls = Room()
    report = calls.run(HostPreflightActivities(host).preflight_host, PreflightRequest(spec=room.spec, deployment_id=ID))
    assert calls.beats == [f"checking {check.name}" for check in report.checks]


def test_a_profile_that_is_wrong_is_no_fault_of_the_circuit(room: HostRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check has a name of its own, and a remedy that does not repeat the text."""

    def load(backend: Backend, variables: Mapping[str, str]) -> LoadedProfile:
        raise SettingsInvalid([f"{backend.repo}/proverctl.yaml:3: variable {variables['CIRCUIT']} has no default"])

    monkeypatch.setattr(room, "load", load)
    room.spec = make_spec(backend=Backend(repo="/srv/backend"))
    report = room.look()
    assert verdicts(report.checks) == {"backend profile": FAILED}
    check = next(check for check in report.checks if check.name == "backend profile")
    assert "has no default" in check.detail
    assert check.do == "mend what is named, or set CIRCUIT_DIR: clients alone are deployed without a profile then"
