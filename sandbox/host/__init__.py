"""The machine of the embedded world: kernel, mounts, cgroups, network, processes and readiness."""
