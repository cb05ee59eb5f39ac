"""Text made fit to be shown: sanitized, shortened lists, sizes and durations."""
