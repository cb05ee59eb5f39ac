"""All I/O but Temporal: Kubernetes, Docker, registries, git and processes, with errors of the domain."""
