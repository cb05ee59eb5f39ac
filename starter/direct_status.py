"""`status --direct`: what stands in the namespace, told by the cluster alone, and who made it."""

from domain.status import Observation
from planning import settings
from planning.found import Standing
from starter import exits, output, summary
from starter.direct import Direct
from starter.invocation import Invocation


def show(asked: Invocation) -> None:
    """Data on stdout; Exit FAILED when nothing of our names is there."""
    spec = settings.bare_spec(asked.values)
    standing = Direct(asked, spec).status()
    output.warn(standing.warnings)
    value = standing.model_dump(mode="json") | {"source": "cluster", "cluster": spec.cluster}
    output.data(value, asked.output, _page(standing))
    if not standing.objects:
        missing = "" if standing.namespace_exists else ", which does not exist"
        raise exits.Exit(
            exits.FAILED, f"nothing is deployed in namespace {spec.namespace} of cluster {spec.cluster}{missing}"
        )


def _page(standing: Standing) -> str:
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
        rows += summary.finding(standing.observed.diagnosis)
    table = output.table([row for row in rows if row[1]])
    return "\n".join([table, *summary.clients(standing.observed.pods)])


def _clients(seen: Observation) -> str:
    return f"{seen.ready} of {seen.wanted} ready, {seen.available} available" if seen.exists else "no Deployment"
