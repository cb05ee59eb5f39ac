"""Services beside Kubernetes: Docker Engine, registries, Temporal and their supervisor."""
