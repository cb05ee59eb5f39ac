"""Activities of the host that holds the repository, the keys and the backend: source, image and preflight."""
