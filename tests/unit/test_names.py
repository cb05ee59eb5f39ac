"""Names and first words in the product: one class name has one meaning, no docstring begins with a pronoun."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_PRODUCT = ("domain", "planning", "clients", "activities", "workflows", "worker", "starter", "connection")
_DOCUMENTED = (*_PRODUCT, "profiles", "sandbox", "bench")
_PRONOUNS = frozenset(
    {"it", "they", "this", "that", "these", "those", "what", "who", "which", "he", "she", "we", "one"}
)


def _modules(packages: tuple[str, ...]) -> Iterator[tuple[Path, ast.Module]]:
    for package in packages:
        for path in sorted((_ROOT / package).rglob("*.py")):
            yield path.relative_to(_ROOT), ast.parse(path.read_bytes())


def _first_word(docstring: str) -> str:
    words = docstring.split()
    word = words[0] if words else ""
    return word.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").partition("'")[0].strip('`*"(),.;:').lower()


def test_one_class_name_has_one_meaning() -> None:
    """No class name, public or private, occurs twice across the packages of the product."""
    places = defaultdict(list)
    for path, module in _modules(_PRODUCT):
        for node in ast.walk(module):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{path}:{node.lineno}")
    shared = {name: found for name, found in places.items() if len(found) > 1}
    assert not shared, "\n".join(f"{name}: {', '.join(found)}" for name, found in sorted(shared.items()))


def test_no_docstring_begins_with_a_pronoun() -> None:
    """The first word is a verb in the imperative or belongs to the name of the thing."""
    found = []
    for path, module in _modules(_DOCUMENTED):
        for node in ast.walk(module):
            if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            docstring = ast.get_docstring(node) or ""
            if _first_word(docstring) in _PRONOUNS:
                found.append(f"{path}:{getattr(node, 'lineno', 1)}: {docstring.splitlines()[0]}")
    assert not found, f"{len(found)} docstrings begin with a pronoun:\n" + "\n".join(found)
