"""Reports and outcomes as text for a person."""
