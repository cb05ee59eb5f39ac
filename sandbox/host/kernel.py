"""Kernel settings that kubelets and routes need; remembered, so that the last world to go puts them back."""

import json
from pathlib import Path

from sandbox.host.command import succeeds
from sandbox.settings import BASE

_REMEMBERED = BASE / "sysctls.json"
_PREPARED = {"net/ipv4/ip_forward": "1"}
# kubelet sets these by itself when it starts
_BY_KUBELET = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops")


def prepare() -> None:
    """Load what may be a module, remember what will change, and let the machine forward."""
    succeeds("modprobe", "-aq", "overlay", "br_netfilter", "veth", "bridge", "ip_tables")  # built in on some kernels
    if not _REMEMBERED.exists():
        _REMEMBERED.write_text(json.dumps({name: _path(name).read_text().strip() for name in _names()}))
    for name, value in _PREPARED.items():
        _path(name).write_text(value)


def restore_after_last_world() -> None:
    """Put the remembered values back unless another world still needs ours."""
    if not _REMEMBERED.exists() or any(path.is_dir() for path in BASE.iterdir()):
        return
    for name, value in json.loads(_REMEMBERED.read_text()).items():
        _path(name).write_text(value)
    _REMEMBERED.unlink()
    BASE.rmdir()


def _names() -> list[str]:
    return [name for name in (*_PREPARED, *_BY_KUBELET) if _path(name).exists()]


def _path(name: str) -> Path:
    return Path("/proc/sys") / name
