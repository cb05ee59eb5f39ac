"""The Docker Engine: connection, builds, local images and compose projects."""
