"""`--direct`: the same inspections without Temporal or a worker."""
