"""The embedded Kubernetes: certificates, control plane, nodes and fleets of fake nodes."""
