"""The only room that talks to Kubernetes, Docker, registries, git and processes, in words of the domain."""
