"""The status of a deployment for people: its page in Temporal's UI and its open question."""
