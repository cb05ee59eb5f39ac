"""Control groups that a world leaves in every hierarchy: those of its pods and of its Docker Engine."""

from pathlib import Path

from sandbox.settings import Settings

_TASKS = "n*/containerd/*/io.containerd.runtime.v2.task/k8s.io/*"  # containerd keeps a directory per container
_PODS = "k8s.io"  # shared with every other containerd of the machine


def remove_cgroups(settings: Settings) -> int:
    """Remove what this world made, known by its container ids; returns how many groups there were."""
    names = [settings.bridge, *(f"{_PODS}/{task.name}" for task in settings.state.glob(_TASKS))]
    removed = 0
    for hierarchy in _hierarchies():
        removed += sum(_remove(hierarchy / name) for name in names)
        shared = hierarchy / _PODS
        if shared.exists() and not any(path.is_dir() for path in shared.iterdir()):
            shared.rmdir()
    return removed


def _remove(top: Path) -> bool:
    if not top.exists():
        return False
    below = sorted(path for path in top.rglob("*") if path.is_dir())
    for path in [*reversed(below), top]:
        path.rmdir()  # the kernel removes the files within; a group with processes refuses
    return True


def _hierarchies() -> list[Path]:
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return [Path(fields[1]) for fields in mounts if fields[2] in ("cgroup", "cgroup2")]
