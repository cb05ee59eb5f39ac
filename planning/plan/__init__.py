"""Plans: what a deploy would change, as a diff with its cost."""
