"""The image of the clients: circuit layers, manifest, pipeline, tags and inventory."""
