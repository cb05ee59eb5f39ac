"""The source of a deployment over fakes: what the profile declares, and who changed the tree."""

from collections.abc import Mapping, Sequence

import pytest

from activities.host.source import resolved
from domain.errors import DirtyTree
from domain.messages.backend import LoadedProfile, ProfileFacts
from domain.messages.source import Checkout, Source, SourceRequest
from domain.ports import Beat
from domain.spec import Backend


class Sources:
    """A tree that is as dirty as it is told."""

    def __init__(self, fault: DirtyTree | None = None) -> None:
        self._fault = fault
        self.data: list[str] = []

    def checkout(self, repo: str, ref: str, beat: Beat) -> Checkout:
        """Nobody asks."""
        raise AssertionError(repo, ref, beat)

    def located(self, repo: str, ref: str) -> str:
        """Nobody asks."""
        raise AssertionError(repo, ref)

    def resolve(self, repo: str, *, stage: str, allow_dirty: bool, data: Sequence[str] = ()) -> Source:  # noqa: ARG002
        """The commit."""
        self.data = list(data)
        if self._fault:
            raise self._fault
        return Source(commit="1" * 40, stage="1111111")


class Profiles:
    """One profile, whose step `contracts` began at 100."""

    def load(self, backend: Backend, variables: Mapping[str, str]) -> LoadedProfile:
        """Never, for it judges what a set-up lacks."""
        raise AssertionError(backend, variables)

    def facts(self, backend: Backend, variables: Mapping[str, str]) -> ProfileFacts:  # noqa: ARG002
        """Its data."""
        return ProfileFacts(name=backend.profile, data=["docker/data"])

    def step_at(self, key: str, moment: int) -> str:
        """By the clock."""
        assert key == "fluidex"
        return "contracts" if moment >= 100 else ""


def _dirty() -> DirtyTree:
    error = DirtyTree(
        "the git tree has 12 uncommitted changes", on="r", evidence="a.lock, b.txt, gone and 9 more", do="commit them"
    )
    error.changed = {"a.lock": 150, "b.txt": 50, "gone": 0}
    return error


def _request(*, after_setup: bool = False) -> SourceRequest:
    return SourceRequest(repo="r", backend=Backend(repo="r", profile="fluidex"), after_setup=after_setup)


def test_data_of_the_profile_is_known_to_git() -> None:
    """A request of an older worker names no backend, and then nothing is data."""
    sources = Sources()
    resolved(sources, Profiles(), _request())
    assert sources.data == ["docker/data"]
    resolved(sources, Profiles(), SourceRequest(repo="r"))
    assert sources.data == []


def test_a_set_up_that_changed_the_tree_is_named() -> None:
    """Each path with the step after whose start it was written; before a set-up the refusal is git's own."""
    with pytest.raises(DirtyTree) as before:
        resolved(Sources(_dirty()), Profiles(), _request())
    assert before.value.diagnosis.what == "the git tree has 12 uncommitted changes"
    with pytest.raises(DirtyTree) as after:
        resolved(Sources(_dirty()), Profiles(), _request(after_setup=True))
    found = after.value.diagnosis
    assert found.what == "the set-up changed the git tree, which was clean before: 12 uncommitted changes"
    assert found.evidence == "a.lock (written after step contracts began), b.txt, gone and 9 more"
    assert found.do == "undo them or commit them"
