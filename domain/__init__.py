"""The words of the product: what a deployment is, what can be asked of it, and what can be said about it."""
