"""What the other activities share about one Kubernetes cluster: reading, inventory, identity, capacity and outages."""
