"""Activities that apply, follow and remove one release, and pull its image ahead."""
