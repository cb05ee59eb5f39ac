"""Backend profiles that come with the program, chosen by BACKEND_PROFILE=<name>."""

from pathlib import Path

_ROOM = Path(__file__).parent


def is_name(wanted: str) -> bool:
    """Whether this means a bundled profile, and not a file."""
    return bool(wanted) and "/" not in wanted and not Path(wanted).suffix


def bundled(name: str) -> Path | None:
    """Return the file of this profile, None when there is none of this name."""
    return _ROOM / f"{name}.yaml" if name in names() else None


def names() -> list[str]:
    """All of them."""
    return sorted(path.stem for path in _ROOM.glob("*.yaml"))
