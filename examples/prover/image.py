# ruff: noqa: INP001 - a program of the example backend, not a package
"""Builds the example's base image with the Docker Engine that DOCKER_HOST names.

It exists because a docker CLI may be absent, or be there without its builder; the Engine's own
classic builder needs neither.
"""

import argparse
import io
import sys
import tarfile
from pathlib import Path

import docker
from docker.errors import APIError, BuildError, DockerException

HERE = Path(__file__).resolve().parent


def context(client: Path) -> io.BytesIO:
    """Return the build context: Dockerfile and client, free of dates so that the cache holds."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, path, mode in (("Dockerfile", HERE / "Dockerfile", 0o644), ("client", client, 0o755)):
            content = path.read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    buffer.seek(0)
    return buffer


def build(client: Path, tag: str) -> str:
    """Build and tag the image; returns its id."""
    engine = docker.from_env()
    try:
        image, _ = engine.images.build(fileobj=context(client), custom_context=True, tag=tag, rm=True)
        return str(image.id)
    finally:
        engine.close()


def main() -> None:
    """Parse the command line, build, say what was built."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--client", type=Path, default=HERE / "build/bin/client", help="static binary of the client")
    parser.add_argument("--tag", default="prover:latest", help="name of the image")
    options = parser.parse_args()
    try:
        image = build(options.client, options.tag)
    except FileNotFoundError as error:
        sys.exit(f"image {options.tag}: {error.filename} is missing: run `make build` first")
    except (APIError, BuildError, DockerException) as error:
        sys.exit(f"image {options.tag}: the Docker Engine (DOCKER_HOST) did not build it: {error}")
    sys.stdout.write(f"image {options.tag}: {image}\n")


if __name__ == "__main__":
    main()
