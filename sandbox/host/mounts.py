"""Mounts of this machine; a world's mounts are those under its state directory."""

import contextlib
import re
from pathlib import Path

from sandbox.host.command import run, succeeds

_OCTAL = re.compile(r"\\([0-7]{3})")


def mount_points() -> list[str]:
    """Every mount point of this mount namespace, in order of mounting."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [_OCTAL.sub(lambda match: chr(int(match.group(1), 8)), line.split()[4]) for line in lines]


def share_root() -> None:
    """Let mounts made by kubelets reach their containers; systemd machines have this already."""
    first = Path("/proc/self/mountinfo").read_text().splitlines()
    root = next(line for line in first if line.split()[4] == "/")
    if "shared:" not in root:
        run("mount", "--make-rshared", "/")


def unmount_below(directory: Path) -> int:
    """Unmount everything under the directory, the deepest first; returns how many there were."""
    found = [point for point in mount_points() if point.startswith(f"{directory}/")]
    for point in sorted(found, key=len, reverse=True):
        # Busy only until the kernel has buried the last process: detach now, it is freed then.
        if not succeeds("umount", point):
            with contextlib.suppress(Exception):
                run("umount", "--lazy", point)
    return len(found)
