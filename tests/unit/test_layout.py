"""The limits that CONTRIBUTING.md sets for files and packages, and the paths that the documentation names."""

import re
from collections import Counter
from pathlib import Path

import pytest

from sandbox.settings import REPOSITORY

MAX_LINES = 350  # of one file
MAX_FILES = 18  # of one package
GENERATED = "examples/prover/gen/"
DOCUMENTS = [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md")]
SOURCE_PATH = re.compile(
    r"(?<![\w./-])(?:activities|bench|clients|compose|connection|docs|domain|examples|planning|profiles|sandbox|starter"
    r"|tests|worker|workflows)/[\w./-]*[\w/]"
)
UNTRACKED = {"compose/kubeconfig", "compose/htpasswd"}  # made by the operator


def sources() -> list[Path]:
    """Our Python files, relative to the repository."""
    found = [path.relative_to(REPOSITORY) for path in REPOSITORY.glob("[a-z]*/**/*.py")]
    return [path for path in found if not path.as_posix().startswith(GENERATED)]


def test_no_file_is_too_long() -> None:
    """A longer file has two subjects."""
    lines = {str(path): len((REPOSITORY / path).read_text().splitlines()) for path in sources()}
    assert {path: count for path, count in lines.items() if count > MAX_LINES} == {}


def test_no_package_has_too_many_files() -> None:
    """More files side by side are packages that are missing."""
    files = Counter(path.parent for path in sources())
    assert {str(package): count for package, count in files.items() if count > MAX_FILES} == {}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_paths_in_the_documentation_exist(document: Path) -> None:
    """A path that moved is corrected where it is named."""
    named = set(SOURCE_PATH.findall(document.read_text())) - UNTRACKED
    assert {path for path in named if not (REPOSITORY / path).exists()} == set()
