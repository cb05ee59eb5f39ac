"""Write an evidence bundle where the user wants it, readable by the user alone."""

import os
from pathlib import Path


def write(file: Path, content: bytes) -> None:
    """Write the file with mode 0600, also over one with another mode."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as target:
        os.fchmod(target.fileno(), 0o600)
        target.write(content)
