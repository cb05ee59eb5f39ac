"""Takes a world down to nothing but the cache, from any state, by what is found on the machine and not by memory."""

import shutil

from sandbox.host import kernel, processes
from sandbox.host.cgroups import remove_cgroups
from sandbox.host.mounts import unmount_below
from sandbox.host.network import remove_network
from sandbox.settings import Settings


def down(settings: Settings) -> None:
    """Remove processes, mounts, network, control groups and files of this world, and nothing else."""
    ended = processes.end_all(settings)
    unmounted = unmount_below(settings.state)
    remove_network(settings)
    groups = remove_cgroups(settings)
    existed = settings.state.exists()
    if existed:
        shutil.rmtree(settings.state)
    kernel.restore_after_last_world()
    if existed or ended or groups:
        print(f"world {settings.name}: ended {ended} processes, unmounted {unmounted}, removed {settings.state}")
    else:
        print(f"world {settings.name}: nothing was up")
