"""Git: work trees, checkouts at a ref, submodules and what git says when it fails."""
