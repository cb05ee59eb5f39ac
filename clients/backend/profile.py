"""Finds and reads a backend's profile on its host, and says everything that is wrong with it before anything runs."""

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from clients.backend.profile_checks import host_faults, left_out
from domain.errors import SettingsInvalid
from domain.messages.backend import LoadedProfile, ProfileFacts
from domain.profile import Profile
from domain.spec import DEFAULT_CIRCUIT
from planning.backend import expansion
from planning.backend.data import data_paths
from planning.backend.profile_parser import MAX_BYTES, read
from planning.backend.profile_validation import faults
from planning.manifests.circuit_name import circuit_names
from planning.settings import checks
from profiles import bundled, is_name, names

_NAME = "proverctl.yaml"
# Profile, variables and steps that are left out → names of the steps whose programs are looked for.
Searched = Callable[[Profile, Mapping[str, str], Collection[str]], Collection[str]]


def load_profile(
    repo: Path,
    wanted: str,
    environ: Mapping[str, str],
    built_in: Mapping[str, str],
    searched: Searched = lambda *_: (),
) -> LoadedProfile:
    """Return the profile at `wanted`: a file, a bundled name, by default the repository's own; SettingsInvalid.

    `built_in` holds the built-in variables that the caller knows; BACKEND_REPO, BACKEND_DATA and CIRCUIT_DIR are
    completed. `searched` names the steps whose programs are looked for.
    """
    path = _path(repo, wanted)
    text = read(_content(path), str(path))
    problems = list(text.faults)
    if text.profile is None:
        raise SettingsInvalid(text.sentences(problems))
    variables = expansion.settled(text.profile.variables, environ, _completed(repo, text.profile, built_in))
    circuit = _known(text.profile.circuit, variables)
    variables = {"CIRCUIT": circuit or DEFAULT_CIRCUIT} | variables
    circuit_dir = _known(text.profile.circuit_dir, variables)
    variables = {"CIRCUIT_DIR": circuit_dir} | variables
    problems += faults(text.profile)
    without = left_out(text.profile, repo, variables)
    judged = {problem.path for problem in problems}
    names_of = searched(text.profile, variables, without)
    problems += host_faults(text.profile, repo, environ, variables, judged, names_of)
    if problems:
        raise SettingsInvalid(text.sentences(problems))
    return LoadedProfile(
        profile=text.profile.model_copy(update={"circuit": variables["CIRCUIT"], "circuit_dir": circuit_dir}),
        repo=str(repo),
        left_out=without,
    )


def profile_facts(
    repo: Path | None, wanted: str, environ: Mapping[str, str], built_in: Mapping[str, str]
) -> ProfileFacts:
    """Return what a deploy of the clients needs of the profile, whatever a set-up would miss here; SettingsInvalid.

    Without a repository only a bundled profile can be read.
    """
    if not (is_name(wanted) if repo is None else wanted or (repo / _NAME).is_file()):
        return ProfileFacts()
    path = _path(repo or Path(), wanted)
    text = read(_content(path), str(path))
    if text.profile is None:
        raise SettingsInvalid(text.sentences(text.faults))
    profile = text.profile
    variables = expansion.settled(profile.variables, environ, _completed(repo or Path(), profile, built_in))
    circuit = _known(profile.circuit, variables)
    if circuit and (clause := checks.circuit(circuit)):
        if not built_in.get("CIRCUIT"):
            raise SettingsInvalid([f"{path}: circuit {circuit!r} {clause}; or set CIRCUIT"])
        circuit = ""
    variables = {"CIRCUIT": circuit or DEFAULT_CIRCUIT} | variables
    variables = {"CIRCUIT_DIR": _known(profile.circuit_dir, variables)} | variables
    return ProfileFacts(
        name=profile.name,
        data=data_paths(profile, variables),
        circuit=circuit,
        circuits=_circuits(repo, [_known(file, variables) for file in profile.circuit_in]),
    )


def _circuits(repo: Path | None, files: Iterable[str]) -> dict[str, list[str]]:
    """By file, of those that are there, plain and inside the repository."""
    found = {}
    for file in files:
        path = (repo / file).resolve() if repo else None
        if repo and path and path.is_relative_to(repo.resolve()) and path.is_file():
            with contextlib.suppress(SettingsInvalid):
                found[file] = circuit_names(_content(path))
    return {file: names_ for file, names_ in found.items() if names_}


def _completed(repo: Path, profile: Profile, built_in: Mapping[str, str]) -> dict[str, str]:
    found = {
        "BACKEND_REPO": str(repo),
        **{name: value for name, value in built_in.items() if value or name != "CIRCUIT"},
    }
    if state := found.get("PROVER_STATE_DIR"):
        found.setdefault("BACKEND_DATA", f"{state}/backend/{profile.name}/data")
    return found


def _known(text: str, variables: Mapping[str, str]) -> str:
    """As written where it uses what is not known, which is a fault of its own."""
    known = all(name in variables for name in expansion.names(text))
    return expansion.expand(text, variables) if known else text


def _path(repo: Path, wanted: str) -> Path:
    if not wanted:
        path = repo / _NAME
        if not path.is_file():
            remedy = "write one or set BACKEND_PROFILE; for a coordinator that runs already, `proverctl deploy` with "
            remedy += "CIRCUIT_DIR set needs none"
            lack = "which says how the backend is set up and where its circuit files are"
            raise SettingsInvalid([f"BACKEND_REPO={repo} has no {_NAME}, {lack}: {remedy}"])
        return path
    if is_name(wanted):
        if path_ := bundled(wanted):
            return path_
        raise SettingsInvalid([f"BACKEND_PROFILE={wanted}: there is no such profile, only {', '.join(names())}"])
    path = (repo / Path(wanted).expanduser()).resolve()
    if not path.is_file():
        raise SettingsInvalid([f"BACKEND_PROFILE={wanted}: there is no file {path}"])
    return path


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        return content.decode(errors="replace") if len(content) > MAX_BYTES else content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid([f"{path} cannot be read: {error}"]) from error
