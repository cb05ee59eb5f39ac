"""The paths that a profile declares as data: made by a set-up, and so no sources of the repository."""

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from domain.profile import Profile, Step
from planning.backend.expansion import expand, names
from planning.backend.field_validation import is_whole

_ANY = "*"  # for a value that only a step hands on


def data_paths(profile: Profile, variables: Mapping[str, str]) -> list[str]:
    """Patterns relative to the repository, of all that is purged, put out, rendered or named under `data`."""
    repo = variables.get("BACKEND_REPO", "")
    found: dict[str, None] = {}
    for base, text in _declared(profile):
        path = PurePosixPath(_filled(base, variables)) / _filled(text, variables)
        if path.is_absolute() and repo and path.is_relative_to(repo):
            path = path.relative_to(repo)
        if not path.is_absolute() and not is_whole(str(path)):
            found[str(path)] = None
    return list(found)


def _declared(profile: Profile) -> Iterator[tuple[str, str]]:
    """Where each path starts in the repository, and the path."""
    yield from (("", text) for text in (*profile.purge, *profile.data))
    for step in profile.steps:
        yield from _of_step(step)


def _of_step(step: Step) -> Iterator[tuple[str, str]]:
    yield from (("", text) for text in step.purge)
    yield from ((step.dir, text) for text in step.outputs)
    if step.file:
        yield step.dir, step.file.to


def _filled(text: str, variables: Mapping[str, str]) -> str:
    return expand(text, {**dict.fromkeys(names(text), _ANY), **variables})
