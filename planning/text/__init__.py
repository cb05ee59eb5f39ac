"""Text of others made fit to be shown, and sizes in decimal units."""
