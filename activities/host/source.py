"""The source of a deployment: the commit of a work tree, without what its backend's profile declares as data."""

from collections.abc import Callable, Mapping
from typing import Protocol

from domain.errors import DirtyTree
from domain.messages.backend import LoadedProfile, ProfileFacts
from domain.messages.source import Source, SourceRequest
from domain.ports import Sources
from domain.spec import Backend


class Profiles(Protocol):
    """Questions to the backend host about its profile."""

    def load(self, backend: Backend, variables: Mapping[str, str]) -> LoadedProfile:
        """Return the profile, judged for a set-up."""
        ...

    def facts(self, backend: Backend, variables: Mapping[str, str]) -> ProfileFacts:
        """Return what a deploy of the clients needs of the profile."""
        ...

    def step_at(self, key: str, moment: int) -> str:
        """Return the step that was started last before a moment."""
        ...


def resolved(sources: Sources, profiles: Profiles, request: SourceRequest) -> Source:
    """Resolve the commit; DirtyTree names the steps of a set-up that may have changed the tree."""
    facts = profiles.facts(request.backend, request.variables) if request.backend else ProfileFacts()
    try:
        found = sources.resolve(request.repo, stage=request.stage, allow_dirty=request.allow_dirty, data=facts.data)
    except DirtyTree as error:
        if not request.after_setup or not facts.name:
            raise
        raise _by_setup(error, lambda moment: profiles.step_at(facts.name, moment)) from error
    return found.model_copy(update={"circuit": facts.circuit, "circuits": facts.circuits})


def _by_setup(error: DirtyTree, step_at: Callable[[int], str]) -> DirtyTree:
    """Return the refusal with the step after whose start each path was written."""
    found = error.diagnosis
    steps = {path: step_at(moment) if moment else "" for path, moment in error.changed.items()}
    shown = [f"{path} (written after step {step} began)" if step else path for path, step in steps.items()]
    more = found.evidence.removeprefix(", ".join(steps))
    return DirtyTree(
        f"the set-up changed the git tree, which was clean before: {found.what.removeprefix('the git tree has ')}",
        on=found.on,
        because=found.because,
        evidence=", ".join(shown) + more,
        do=f"undo them or {found.do}",
    )
