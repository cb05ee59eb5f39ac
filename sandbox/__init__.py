"""The embedded world: a real Kubernetes, registry, Docker Engine and Temporal on one machine, for demo and tests."""
