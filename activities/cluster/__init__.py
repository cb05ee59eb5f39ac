"""Parts that activities share about one Kubernetes cluster: reading, inventory, identity, capacity, outages."""
