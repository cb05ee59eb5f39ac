"""Which number of clients and endpoint a deploy takes: what commands set, or what the settings say, and why."""

import pytest

from domain.commands import Given
from domain.spec import ClusterSpec, Endpoint, ImageTarget
from domain.status import Release
from planning.plan import intent

SETTINGS = {"CLIENT_REPLICAS": "2", "COORDINATOR_EP": "10.0.0.7", "COORDINATOR_PORT": "50055"}
SCALED = "scale-1 on 2026-01-01T00:00:00Z"
RESET = "reset-1 on 2026-01-02T00:00:00Z"


def running(**changes: object) -> Release:
    """Return a release that was deployed with SETTINGS, scaled to 8 and reset to another coordinator."""
    release = Release(replicas=8, replicas_by=SCALED, endpoint="10.0.0.9:50056", endpoint_by=RESET, settings=SETTINGS)
    return release.model_copy(update=changes)


def deploy(release: Release | None, flags: tuple[str, ...] = (), **settings: str) -> intent.Intent:
    """Return a deploy with these settings in place of some of SETTINGS."""
    values = SETTINGS | settings
    spec = ClusterSpec(
        coordinator=Endpoint(ip=values["COORDINATOR_EP"], port=int(values["COORDINATOR_PORT"])),
        image=ImageTarget(repository="r"),
        replicas=int(values["CLIENT_REPLICAS"]),
    )
    asked = {name: Given(value=value, origin=".env", flag=name in flags) for name, value in values.items()}
    return intent.settled(spec, asked, release, "deploy-2 on 2026-01-03T00:00:00Z")


def test_what_commands_set_stays_while_the_settings_are_the_same() -> None:
    """The number, the endpoint, and who set them; each is told with its reason and the flag that changes it."""
    kept = deploy(running())
    assert (kept.spec.replicas, str(kept.spec.coordinator)) == (8, "10.0.0.9:50056")
    assert kept.marks == {"settings": SETTINGS, "replicas_by": SCALED, "endpoint_by": RESET}
    assert kept.notes == [
        (
            f"8 clients: set by {SCALED}; CLIENT_REPLICAS=2 of .env is unchanged since the last deploy;"
            " pass --replicas to change it"
        ),
        (
            f"coordinator 10.0.0.9:50056: set by {RESET}; COORDINATOR_EP=10.0.0.7 of .env and COORDINATOR_PORT=50055 of"
            " .env are unchanged since the last deploy; pass --coordinator-ep or --coordinator-port to change it"
        ),
    ]


def test_zero_clients_stay_zero() -> None:
    """0 is a number that somebody set like any other."""
    assert deploy(running(replicas=0)).spec.replicas == 0


def test_a_changed_setting_takes_the_place_of_what_commands_set() -> None:
    """It says the setting, what it was, and what is given up."""
    kept = deploy(running(), CLIENT_REPLICAS="4", COORDINATOR_EP="10.0.0.10")
    assert (kept.spec.replicas, str(kept.spec.coordinator)) == (4, "10.0.0.10:50055")
    assert (kept.marks["replicas_by"], kept.marks["endpoint_by"]) == ("", "")
    assert kept.notes[0] == (
        f"4 clients: CLIENT_REPLICAS=4 of .env, where the last deploy found 2; before: 8 clients, set by {SCALED}"
    )


def test_a_flag_always_wins() -> None:
    """Also with the setting unchanged; the flag then counts as what set it."""
    kept = deploy(running(), ("CLIENT_REPLICAS",))
    assert (kept.spec.replicas, kept.marks["replicas_by"]) == (2, "--replicas of deploy-2 on 2026-01-03T00:00:00Z")
    assert kept.notes[0] == f"2 clients: --replicas of this deploy; before: 8 clients, set by {SCALED}"


def test_another_port_alone_keeps_the_address() -> None:
    """A port belongs to an address, and the address was set by a command."""
    kept = deploy(running(), COORDINATOR_PORT="50060")
    assert (str(kept.spec.coordinator), kept.marks["endpoint_by"]) == ("10.0.0.9:50060", RESET)
    assert "COORDINATOR_PORT=50060 of .env, where the last deploy found 50055" in kept.notes[1]


def test_ipv6_endpoints_are_kept() -> None:
    """The brackets are those of the text alone."""
    assert deploy(running(endpoint="[fd00::1]:50055")).spec.coordinator == Endpoint(ip="fd00::1")


@pytest.mark.parametrize(
    "release", [None, Release(replicas=2, endpoint="10.0.0.7:50055", settings=SETTINGS), Release(settings=SETTINGS)]
)
def test_without_anything_set_the_settings_count(release: Release | None) -> None:
    """A first deploy, and one of what only deploys changed."""
    kept = deploy(release, CLIENT_REPLICAS="3")
    assert (kept.spec.replicas, str(kept.spec.coordinator)) == (3, "10.0.0.7:50055")


def test_nothing_is_said_where_nothing_differs() -> None:
    """No note for what is as the settings say anyway."""
    assert deploy(running(replicas=2, endpoint="10.0.0.7:50055")).notes == []


def test_a_starter_that_says_nothing_of_its_settings_is_obeyed() -> None:
    """One of an older version: its spec counts as it is."""
    spec = deploy(None).spec
    assert intent.settled(spec, {}, running(), "deploy-2") == (
        spec,
        {"settings": {}, "replicas_by": "", "endpoint_by": ""},
        [],
    )


def test_settings_are_compared_in_one_spelling_and_below_the_flags() -> None:
    """`02` is 2, an IPv6 address has one form, an unset setting is its default."""
    below = {
        "CLIENT_REPLICAS": ("02", ".env"),
        "COORDINATOR_EP": ("FD00:0::1", "the environment"),
        "COORDINATOR_PORT": ("", ""),
    }
    assert intent.given({"CLIENT_REPLICAS": "9"}, below) == {
        "CLIENT_REPLICAS": Given(value="2", origin=".env", flag=True),
        "COORDINATOR_EP": Given(value="fd00::1", origin="the environment"),
        "COORDINATOR_PORT": Given(value="50055"),
    }
