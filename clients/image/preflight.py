"""Looks at what an image stands on (Docker Engine, base image, circuit files, registries) and leaves nothing behind."""

from clients.docker import build_context
from clients.docker.build import built_base
from clients.docker.connection import DEFAULT_HOST, connected
from clients.docker.engine import Engine
from clients.image.circuit import circuit_entries
from clients.registry.blob_upload import try_push
from clients.registry.client import Registry
from clients.registry.connection_pool import ConnectionPool
from clients.registry.transport import insecure
from domain.messages.image import BaseConfig
from domain.names import image_tag
from domain.ports import Login, Secrets
from domain.spec import ConfigSchema, ImageTarget
from planning.image.command import base_config
from planning.text.sizes import size

_SECONDS = 5  # for each answer of the Engine
_ANSWER_SECONDS = 10.0  # seconds for each answer of a registry
_PULL_SETTINGS = "IMAGE_PULL_AUTH (by default IMAGE_AUTH_USER and IMAGE_AUTH_PASSWORD)"


class LocalImagePreflight:
    """Fulfils `domain.ports.ImagePreflight` on this machine."""

    def __init__(self, docker_host: str | None, secrets: Secrets) -> None:
        """`docker_host` as in DOCKER_HOST, None for the default socket."""
        self._docker_host = docker_host or DEFAULT_HOST
        self._engine = Engine(docker_host)
        self._secrets = secrets

    def engine(self) -> str:
        """Ping the Docker Engine; Unavailable."""
        with connected({"DOCKER_HOST": self._docker_host}, _SECONDS) as client:
            client.ping()
            version = client.version()["Version"]
        return f"version {version} at {self._docker_host}"

    def base_image(self, name: str) -> BaseConfig:
        """How it is configured; ImageInputMissing, Unavailable."""
        return base_config(self._engine.base_image(name).config)

    def base_context(self, repo: str, base_context: str, dockerfile: str) -> tuple[str, str]:
        """Return a clause about the build context, and the name of the image already built of it, or an empty one."""
        context = build_context.pack(repo, base_context, lambda _: None, dockerfile)
        told = f"{base_context}: {context.files} files, {size(context.size)}"
        return told, built_base({"DOCKER_HOST": self._docker_host}, context)

    def circuit(self, repo: str, circuit_dir: str, schema: ConfigSchema) -> str:
        """Return number and size of the files that the image would take; ImageInputMissing."""
        entries = circuit_entries(repo, circuit_dir, schema)
        total = sum(entry.size for entry in entries)
        return f"{len(entries)} files, {size(total)}"

    def push(self, target: ImageTarget) -> str:
        """Begin and cancel an upload; CredentialsRejected, Unavailable."""
        login = self._secrets.login(target.push_auth, target.push_host)
        registry = self._registry(target.push_host, target.repository, login, "IMAGE_AUTH_USER and IMAGE_AUTH_PASSWORD")
        ended = try_push(registry)
        user = f"user {login.user}" if login else "anybody"
        rest = "" if ended else "; it keeps the empty upload of this check until it cleans up"
        return f"{user} may push to {target.push_host}/{target.repository}{rest}"

    def pull(self, target: ImageTarget, stage: str) -> str:
        """Look for the image of that stage; CredentialsRejected, Unavailable."""
        login = self._secrets.login(target.pull_auth, target.pull_host)
        registry = self._registry(target.pull_host, target.repository, login, _PULL_SETTINGS)
        digest = registry.manifest_digest(image_tag(stage))
        user = f"user {login.user}" if login else "anybody"
        there = f"{image_tag(stage)} is there" if digest else f"{image_tag(stage)} is not there yet"
        return f"{user} may pull from {target.pull_host}/{target.repository}; {there}"

    def _registry(self, host: str, repository: str, login: Login | None, settings: str) -> Registry:
        return Registry(
            host,
            repository,
            login,
            connections=ConnectionPool(),
            insecure=insecure(host, self._engine.insecure_ranges()),
            answer_seconds=_ANSWER_SECONDS,
            settings=settings,
        )
