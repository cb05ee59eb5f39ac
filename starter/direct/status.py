"""`status --direct`: the objects in the namespace and who made them, read from the cluster alone."""

from domain.status import Observation
from planning.manifests.live_deployment import LiveDeployment
from planning.settings.spec import bare_spec
from starter.cli import exits, terminal
from starter.cli.invocation import Invocation
from starter.direct.inspection import Direct
from starter.views import deployment


def show(asked: Invocation) -> None:
    """Write what exists to stdout; raise Exit FAILED when there is none of our objects."""
    spec = bare_spec(asked.values)
    standing = Direct(asked, spec).status()
    terminal.warn(standing.warnings)
    value = standing.model_dump(mode="json") | {"source": "cluster", "cluster": spec.cluster}
    terminal.data(value, asked.output, _page(standing))
    if not standing.objects:
        missing = "" if standing.namespace_exists else ", which does not exist"
        raise exits.Exit(
            exits.FAILED, f"nothing is deployed in namespace {spec.namespace} of cluster {spec.cluster}{missing}"
        )


def _page(standing: LiveDeployment) -> str:
    release = standing.release
    rows = [
        ("namespace", standing.namespace),
        ("stage", standing.stage),
        ("owner", standing.owner or ("none: not made by proverctl" if standing.objects else "")),
        ("image", release.image if release else ""),
        ("endpoint", release.endpoint if release else ""),
        ("clients", _clients(standing.observed)),
        *(("object", entry) for entry in standing.objects),
    ]
    if standing.observed.diagnosis:
        rows += deployment.finding(standing.observed.diagnosis)
    table = terminal.table([row for row in rows if row[1]])
    return "\n".join([table, *deployment.clients(standing.observed.pods)])


def _clients(seen: Observation) -> str:
    return f"{seen.ready} of {seen.wanted} ready, {seen.available} available" if seen.exists else "no Deployment"
