"""The documentation names what the program knows."""

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
