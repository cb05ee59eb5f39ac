"""The documentation names what the program knows."""

import pytest

from planning.settings.table import SETTINGS
from sandbox.settings import REPOSITORY
from starter import main
from starter.commands import backend


def test_every_setting_is_documented() -> None:
    """docs/operations.md has a row for each setting, with its flag and default."""
    page = (REPOSITORY / "docs/operations.md").read_text()
    missing = [one.name for one in SETTINGS if f"| `{one.name}` | {f'`{one.flag}`' if one.flag else ''} |" not in page]
    assert missing == []


def test_every_command_is_documented() -> None:
    """docs/operations.md names each command."""
    page = (REPOSITORY / "docs/operations.md").read_text()
    assert [name for name in main.COMMANDS if name not in page] == []
    assert [name for name in backend.COMMANDS if f"backend {name}" not in page] == []


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("README.md", ["--probe", "PROBE_IMAGE"]),  # the first needs the second
        ("docs/operations.md", ["TEMPORAL_UI_ADDRESS"]),  # where the links of the CLI lead
        ("docs/fluidex.md", ["`npm i`", "`cargo build`", "lock files"]),  # why a set-up may change the tree
    ],
)
def test_what_an_operator_has_to_know_is_written(page: str, words: list[str]) -> None:
    """Facts that no table of settings or commands brings into the documentation."""
    text = (REPOSITORY / page).read_text()
    assert [word for word in words if word not in text] == []
