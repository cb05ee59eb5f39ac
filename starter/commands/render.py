"""`render` and `rbac`: what would be applied, as YAML on stdout; neither contacts anything."""
# ruff: noqa: PLC0415 - `--help` and completion must not load pydantic

import socket
from typing import TYPE_CHECKING, Any

import click

from starter.cli import exits, options

if TYPE_CHECKING:
    from domain.kubernetes import Manifest
    from domain.spec import ClusterSpec
    from starter.cli.invocation import Invocation

UNKNOWN_STAGE = "<stage>"
UNKNOWN_OWNER = "<owner>"
SECRET = "Secret"  # noqa: S105 - a kind of object


@options.command(
    "render", "proverctl render -n provers > manifests.yaml", "STAGE=1a2b3c4 proverctl render -n provers -o json"
)
@click.option("--show-secrets", is_flag=True, help="Write img-cred with its password instead of a comment.")
@options.settings()
@options.everywhere
def render_command(show_secrets: bool, **params: Any) -> None:
    """Print the Kubernetes manifests as YAML; contacts nothing.

    STAGE comes from the flag or the environment, else it is `<stage>`: the commit is not looked up. The image's digest
    is known only after the push and left out.
    """
    from planning.settings.spec import cluster_spec, warnings
    from starter.cli import terminal
    from starter.cli.invocation import invocation

    asked = invocation(params)
    spec = asked.validated(lambda: cluster_spec(asked.values, seen_on=socket.gethostname()))
    terminal.warn([*warnings(spec), *_unknown(spec)])
    _write(asked, _manifests(asked, spec, show_secrets), comment=_comment(spec, show_secrets), secrets=show_secrets)


@options.command("rbac", "proverctl rbac -n provers | kubectl apply -f -")
@click.option("--service-account", default="proverctl-worker", show_default=True, help="Account the worker runs as.")
@click.option("--service-account-namespace", help="Its namespace (default: the one of -n).")
@click.option("--optional/--no-optional", default=True, help="Also the rights that only improve its reports.")
@options.everywhere
def rbac_command(service_account: str, service_account_namespace: str | None, optional: bool, **params: Any) -> None:
    """Print the rights the worker needs as YAML; contacts nothing.

    A service account, one Role in the namespace, and a ClusterRole that reads nodes.
    """
    from planning.kubernetes import rbac
    from planning.settings.spec import account
    from starter.cli.invocation import invocation

    asked = invocation(params)
    _, namespace = asked.validated(lambda: account(asked.values, service_account, service_account_namespace))
    documents = rbac.documents(
        namespace,
        service_account=service_account,
        service_account_namespace=service_account_namespace or namespace,
        optional=optional,
    )
    _write(asked, documents)


def _unknown(spec: "ClusterSpec") -> list[str]:
    if spec.circuit or not spec.backend.profile:
        return []
    return [f"CIRCUIT is not set: {spec.circuit_name} is shown, a deploy takes the one of the backend profile."]


def _manifests(asked: "Invocation", spec: "ClusterSpec", show_secrets: bool) -> "list[Manifest]":
    from domain.status import Release
    from planning.manifests import render

    if spec.config_schema == "auto":
        why = (
            "CLIENT_CONFIG_SCHEMA=auto cannot be resolved: render contacts nothing and reads no source of the client;"
            " pass --config-schema flat or --config-schema struct, or use `proverctl plan`."
        )
        raise exits.invalid([why])
    stage = spec.stage or UNKNOWN_STAGE
    release = Release(
        stage=stage,
        image=render.image_reference(spec, stage),
        config_hash=render.config_hash(spec),
        endpoint=str(spec.coordinator),
        replicas=spec.replicas,
    )
    secret = [_secret(asked, spec)] if show_secrets and spec.image.pull_auth else []
    objects = render.render(spec, release, owner=UNKNOWN_OWNER, pull_secret=spec.image.pull_auth is not None)
    return [*secret, *objects]


def _secret(asked: "Invocation", spec: "ClusterSpec") -> "Manifest":
    from planning.manifests import render

    reference = spec.image.pull_auth.ref if spec.image.pull_auth else ""
    kind, _, name = reference.partition(":")
    user, password = asked.values.get(f"{name}_USER", ""), asked.values.get(f"{name}_PASSWORD", "")
    if kind != "env" or not user or not password:
        raise exits.invalid(
            ["--show-secrets needs the credential itself: set IMAGE_AUTH_USER and IMAGE_AUTH_PASSWORD."]
        )
    return render.pull_secret(spec, user, password, UNKNOWN_OWNER)


def _comment(spec: "ClusterSpec", show_secrets: bool) -> str:
    from planning.manifests import yaml_output

    return yaml_output.secret_comment(spec) if spec.image.pull_auth and not show_secrets else ""


def _write(asked: "Invocation", manifests: "list[Manifest]", *, comment: str = "", secrets: bool = False) -> None:
    from planning.manifests import yaml_output
    from starter.cli import terminal

    if asked.output == "json":
        items = [one for one in manifests if secrets or one["kind"] != SECRET]
        click.echo(terminal.as_json({"apiVersion": "v1", "kind": "List", "items": items}))
        return
    text = yaml_output.to_yaml(manifests, show_secrets=secrets)
    click.echo(comment.rstrip("\n") + "\n" + text if comment else text, nl=False)
