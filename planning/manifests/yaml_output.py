"""Manifests as YAML for people: stable, readable, and without a Secret that could be applied by mistake."""

from typing import Any

import yaml

from domain import names
from domain.kubernetes import Manifest
from domain.spec import ClusterSpec
from planning.manifests.render import registry_key

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
REDACTED = "<redacted; --show-secrets writes it>"


class _Dumper(yaml.SafeDumper):
    """Block style throughout, indented lists, and texts of several lines as they read."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent lists below their key, as kubectl does."""
        del indentless
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:
        """Write equal parts out: anchors are hard to read."""
        del data
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def to_yaml(manifests: list[Manifest], *, show_secrets: bool = False) -> str:
    """Render multi-document YAML; each Secret is a comment without its data unless `show_secrets`."""
    shown = [
        _redacted(manifest) if manifest.get("kind") == "Secret" and not show_secrets else dump(manifest)
        for manifest in manifests
    ]
    return "".join(f"---\n{text}" if not text.startswith("#") else text for text in shown)


def secret_comment(spec: ClusterSpec) -> str:
    """Return the pull Secret as a YAML comment, for when its value is not known; never applicable."""
    reference = spec.image.pull_auth.ref if spec.image.pull_auth else "nothing"
    lines = [
        f"Secret {names.PULL_SECRET} in namespace {spec.namespace}, type kubernetes.io/dockerconfigjson,",
        f"holds the login for {registry_key(spec.image.pull_host)} from {reference}: {REDACTED}",
    ]
    return _comment("\n".join(lines))


def _redacted(secret: Manifest) -> str:
    hidden = {key: dict.fromkeys(secret.get(key) or {}, REDACTED) for key in ("data", "stringData") if key in secret}
    meta = secret.get("metadata") or {}
    # kubectl's last-applied holds the whole Secret once more
    kept = {key: value for key, value in (meta.get("annotations") or {}).items() if key != LAST_APPLIED}
    return _comment(dump(secret | hidden | {"metadata": meta | {"annotations": kept}}))


def _comment(text: str) -> str:
    return "".join(f"# {line}\n" for line in text.rstrip("\n").splitlines())


def dump(manifest: Manifest) -> str:
    """Return one object as YAML in block style, its keys in their own order."""
    return yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)
