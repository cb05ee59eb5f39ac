"""Names across the product: one class name has one meaning."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_PRODUCT = ("domain", "planning", "clients", "activities", "workflows", "worker", "starter", "connection")


def _modules(packages: tuple[str, ...]) -> Iterator[tuple[Path, ast.Module]]:
    for package in packages:
        for path in sorted((_ROOT / package).rglob("*.py")):
            yield path.relative_to(_ROOT), ast.parse(path.read_bytes())


def test_one_class_name_has_one_meaning() -> None:
    """No class name, public or private, occurs twice across the packages of the product."""
    places = defaultdict(list)
    for path, module in _modules(_PRODUCT):
        for node in ast.walk(module):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{path}:{node.lineno}")
    shared = {name: found for name, found in places.items() if len(found) > 1}
    assert not shared, "\n".join(f"{name}: {', '.join(found)}" for name, found in sorted(shared.items()))
