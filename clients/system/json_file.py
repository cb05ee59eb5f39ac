"""Small JSON files that are replaced atomically."""

import json
import os
import threading
from pathlib import Path


def strings(path: Path) -> dict[str, str]:
    """Return the mapping in the file; empty when it is missing or is not one."""
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}  # a cache: losing it costs a second look
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def write(path: Path, text: str) -> None:
    """Replace the file, readable by its owner alone."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.draft")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
