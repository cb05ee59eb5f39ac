"""Read-only activities: preflight, nodes, plan and diagnose."""
