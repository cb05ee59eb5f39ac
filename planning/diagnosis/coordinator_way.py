"""The route from clients to their coordinator: the Service and its EndpointSlice, or COORDINATOR_SERV."""

from urllib.parse import urlsplit

from domain import names
from domain.diagnosis import Diagnosis, Severity
from domain.kubernetes import Manifest
from planning.diagnosis.release_view import ReleaseView
from planning.kubernetes import objects
from planning.text import sanitize

SERVICE = names.COORDINATOR_SERVICE
_SLICE = f"EndpointSlice {SERVICE}"
_WEB_PORTS = {"http": 80, "https": 443}


def override(deployment: Manifest | None) -> str:
    """Return the upstream that clients were given in place of the Service; empty when they use the Service.

    Told from the live Deployment, for who asks may have other settings than who deployed.
    """
    found = objects.client_variable(deployment or {}, "CLIENT_UPSTREAM")
    host = urlsplit(found).hostname or ""
    return "" if host == SERVICE or host.startswith(f"{SERVICE}.") else found


def endpoint(deployment: Manifest | None, slices: list[Manifest] | None) -> tuple[str, int] | None:
    """Return host and port that clients talk to in the end; None when they are not known."""
    if upstream := override(deployment):
        url = urlsplit(upstream)
        return (url.hostname, url.port or _WEB_PORTS.get(url.scheme, 0)) if url.hostname else None
    for found in slices or []:
        ports = [port["port"] for port in found.get("ports") or [] if port.get("port")]
        for address in _addresses(found):
            return (address, int(ports[0])) if ports else None
    return None


def route_finding(view: ReleaseView) -> Diagnosis | None:
    """Return what is wrong with Service and slice; None where clients do not use them, or nothing was read."""
    slices = view.snapshot.slices
    if slices is None or override(view.deployment):
        return None
    if not slices:
        return _lost("the Service leads nowhere: its EndpointSlice is gone", "", "somebody deleted it")
    port_names = _service_ports(view.snapshot.service)
    for found in slices:
        ports = {str(port.get("name") or "") for port in found.get("ports") or []}
        if not ports & port_names:
            shown = (
                f"EndpointSlice port {', '.join(sorted(ports)) or 'none'}; Service port {', '.join(sorted(port_names))}"
            )
            return _lost("the Service routes nothing: its port and the EndpointSlice's differ in name", shown, "")
        if not _addresses(found):
            return _lost("the EndpointSlice holds no address that is ready", f"endpoints: {found.get('endpoints')}", "")
    return None


def _service_ports(service: Manifest | None) -> set[str]:
    if service is None:
        return {names.COORDINATOR_PORT_NAME}
    return {str(port.get("name") or "") for port in objects.spec(service).get("ports") or []}


def _addresses(found: Manifest) -> list[str]:
    ends = found.get("endpoints") or []
    return [str(address) for end in ends if _serves(end) for address in end.get("addresses") or []]


def _serves(end: Manifest) -> bool:
    return (end.get("conditions") or {}).get("ready") is not False


def _lost(what: str, evidence: str, because: str) -> Diagnosis:
    return Diagnosis(
        code="NOT_REGISTERED",
        what=f"clients run and cannot reach the coordinator: {what}",
        on=_SLICE,
        evidence=sanitize.one_line(evidence),
        because=because or "somebody changed it after the deploy",
        do="deploy again, which restores Service and EndpointSlice; not the clients, nor the image, are at fault",
        severity=Severity.NEEDS_HUMAN,
    )
