"""The only room that talks to Kubernetes, Docker, registries, git and processes; it speaks in domain words and errors."""
