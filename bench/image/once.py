"""`python -m bench.image_once < ORDER`: one image by a worker's code in a process of its own, to be measured or killed.

The order is JSON: `docker_host`, `state` (a directory) and `request`. What is said is JSON, too: KiB of this process
before, and the image.
"""

import gc
import json
import subprocess
import sys
from pathlib import Path

from bench.image.inputs import Anonymous
from bench.world.embedded import World
from bench.world.memory import resident
from clients.image.images import PushedImages
from domain.messages.image import ImageRequest


def start(world: World, state: Path, request: ImageRequest) -> "subprocess.Popen[bytes]":
    """Start one in a session of its own; whoever calls reads its output or kills it."""
    command = [sys.executable, "-m", "bench.image.once"]
    order = {"docker_host": world.env["DOCKER_HOST"], "state": str(state), "request": request.model_dump(mode="json")}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdin is not None
    process.stdin.write(json.dumps(order).encode())
    process.stdin.close()
    process.stdin = None  # else communicate() would write to it
    return process


def main() -> None:
    """Read the order, make the image, say what became of it."""
    order = json.loads(sys.stdin.read())
    images = PushedImages(order["docker_host"], Anonymous(), Path(order["state"]))
    request = ImageRequest.model_validate(order["request"])
    gc.collect()
    before = resident()
    image = images.ensure(request, lambda *_: None)
    print(json.dumps({"before": before, "image": image.model_dump(mode="json")}))


if __name__ == "__main__":
    main()
