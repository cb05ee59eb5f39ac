"""The settings of the prover image: where it goes, as whom, and what it is made of."""

from planning.settings import checks, client_checks
from planning.settings.setting import Setting

IMAGE: tuple[Setting, ...] = (
    Setting(
        "IMAGE_REPO",
        "--image-repo",
        "",
        "Repository of the prover image; a first part that looks like a host is one.",
        checks.repository,
        "image",
    ),
    Setting(
        "IMAGE_HOST",
        "--image-host",
        "",
        "Registry the image is pushed to (default: the host in IMAGE_REPO, else docker.io).",
        checks.registry_host,
        "image",
    ),
    Setting(
        "IMAGE_HOST_ALIAS",
        "--image-host-alias",
        "",
        "Registry that pods pull from (default: the host in IMAGE_REPO, else IMAGE_HOST).",
        checks.registry_host,
        "image",
    ),
    Setting(
        "IMAGE_AUTH_USER", "", "", "User for push and pull; anonymous when unset.", checks.text, "image", masked=True
    ),
    Setting("IMAGE_AUTH_PASSWORD", "", "", "Its password; stays on this machine.", checks.text, "image", masked=True),
    Setting(
        "IMAGE_PUSH_AUTH",
        "--image-push-auth",
        "",
        "Where the worker finds the push credential: env:NAME, file:/PATH, docker-config, kubernetes:SECRET"
        " (default: env:IMAGE_AUTH when IMAGE_AUTH_USER is set).",
        checks.secret_reference,
        "image",
        masked=True,
    ),
    Setting(
        "IMAGE_PULL_AUTH",
        "--image-pull-auth",
        "",
        "The same for the credential that pods pull with.",
        checks.secret_reference,
        "image",
        masked=True,
    ),
    Setting(
        "PROVER_BASE_IMAGE",
        "--base-image",
        "prover",
        "Local image that holds the prove-client.",
        checks.image,
        "image",
    ),
    Setting(
        "PROVER_BASE_CONTEXT",
        "--base-context",
        "",
        "Directory in BACKEND_REPO whose Dockerfile builds the image that holds the prove-client, in place of"
        " PROVER_BASE_IMAGE.",
        checks.relative_path,
        "image",
    ),
    Setting(
        "PROVER_BASE_DOCKERFILE",
        "--base-dockerfile",
        "Dockerfile",
        "Name of the Dockerfile in PROVER_BASE_CONTEXT.",
        client_checks.file_within,
        "image",
    ),
    Setting(
        "CLIENT_COMMAND",
        "--client-command",
        "",
        "Command of the container in place of the base image's ENTRYPOINT and CMD (default: theirs; `client` where they"
        " are absent or a shell alone).",
        client_checks.command,
        "image",
    ),
    Setting(
        "CLIENT_WORKDIR",
        "--client-workdir",
        "/opt",
        "Working directory of the container, whatever the base image's WORKDIR is.",
        client_checks.directory,
        "image",
    ),
    Setting(
        "STAGE",
        "--stage",
        "",
        "Tag of the image and label of the objects (default: short commit of BACKEND_REPO).",
        checks.stage,
        "image",
    ),
    Setting(
        "PROVER_ALLOW_DIRTY",
        "--allow-dirty",
        "",
        "Deploy a git tree with uncommitted changes; the stage ends in -dirty and a hash of them.",
        checks.boolean,
        "image",
        switch=True,
    ),
    Setting(
        "PROVER_FORCE_TAG",
        "--force-tag",
        "",
        "Let the tag of a commit name other content than it does at the registry.",
        checks.boolean,
        "image",
        switch=True,
    ),
    Setting(
        "PROVER_PRE_PULL",
        "--pre-pull",
        "on",
        "Whether nodes pull a new image before the clients that run are replaced: on or off.",
        checks.one_of("on", "off"),
        "image",
    ),
)
