"""Fields of live Kubernetes objects, quantities and the rights that are needed."""
