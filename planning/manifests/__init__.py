"""The manifests of a release, and who owns the objects that exist."""
