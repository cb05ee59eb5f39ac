"""Reads a compose file with all that it includes or extends, and refuses what would come from another host."""

from pathlib import Path
from typing import Any

import yaml

from domain.errors import SettingsInvalid, StepFailed
from planning.backend.compose_validation import judge

_MAX_BYTES = 1 << 20
_MAX_FILES = 100


class _ComposeLoader(yaml.SafeLoader):
    """Knows compose's own tags (`!reset`, `!override`) as what they stand before."""


def _untagged(loader: yaml.SafeLoader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else None


_ComposeLoader.add_multi_constructor("!", _untagged)


def expected_services(top: Path) -> list[str]:
    """Return the services that have a container when the project is up; SettingsInvalid, StepFailed."""
    if not top.is_file():
        raise StepFailed(
            f"there is no compose file {top.name}",
            on=str(top),
            do="check compose.file in the profile, and that submodules are checked out (needs)",
        )
    problems: list[str] = []
    services: set[str] = set()
    waiting, seen = [(top, top.parent, True)], {top}
    while waiting:
        path, base, included = waiting.pop()
        for document in _documents(path, problems):
            judged = judge(document)
            problems += [f"compose file {path}: {problem}" for problem in judged.problems]
            services |= set(judged.services) if included else set()
            for local in judged.files:
                found = (base / local.path).resolve()
                if found not in seen and len(seen) < _MAX_FILES:
                    seen.add(found)
                    below = base / local.directory if local.directory else found.parent
                    waiting.append((found, below, included and local.included))
    if len(seen) >= _MAX_FILES:
        problems.append(f"compose file {top} refers to {_MAX_FILES} files or more")
    if problems:
        raise SettingsInvalid(problems)
    return sorted(services)


def _documents(path: Path, problems: list[str]) -> list[Any]:
    """Every document of the file: compose merges them."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            problems.append(f"compose file {path} is larger than {_MAX_BYTES >> 20} MB")
            return []
        return list(yaml.load_all(content, Loader=_ComposeLoader))
    except OSError as error:
        problems.append(f"compose file {path}: {error.strerror}")
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        problems.append(f"compose file {path}{f', line {mark.line + 1}' if mark else ''}: it is not YAML")
    return []
