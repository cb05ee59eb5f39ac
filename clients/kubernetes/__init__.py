"""The Kubernetes API: connection, objects, reflectors and watches."""
