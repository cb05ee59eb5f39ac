"""Short workflows that only read: inspections, profiles and logs."""
