"""Image registries: transport, authentication, uploads and what a repository holds."""
