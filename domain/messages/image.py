"""Messages about building and pushing the image of the clients."""

from domain.messages.source import Source
from domain.model import Message
from domain.spec import Backend, ConfigSchema, ImageTarget


class ImageRequest(Message):
    """Build `base image + circuit files` and push it."""

    backend: Backend
    circuit_dir: str  # resolved, relative to repo
    source: Source
    target: ImageTarget
    force_tag: bool = False
    config_schema: ConfigSchema = ConfigSchema.FLAT  # what the client will be given; never AUTO


class BaseConfig(Message):
    """Container settings in the configuration of an image."""

    user: str = ""  # empty or 0 means root
    entrypoint: list[str] = []
    command: list[str] = []
    workdir: str = ""


class Image(Message):
    """The image by digest; `reference` is what pods pull."""

    reference: str  # pull host/repo:client-<stage>@sha256:…
    digest: str
    user: str = ""  # USER of its configuration; empty or 0 means root
    built: bool = True  # False: the registry had it already
    replaced: str = ""  # digest that a tag set by hand named before
    lagrange: bool = True  # it holds lag.key
    warnings: list[str] = []
