"""Images: build and push, a changed commit, memory and resumed uploads."""
