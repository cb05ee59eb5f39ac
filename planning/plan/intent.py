"""The choice between what `scale` and `reset-endpoint` set and the settings of a deploy, with the reason.

What was set by a command or by a flag stays until the setting below the flags differs from the one that the running
release was deployed with; a flag of this deploy always wins.
"""

from collections.abc import Mapping
from typing import NamedTuple

from domain.commands import Given
from domain.spec import ClusterSpec, Endpoint
from domain.status import Release
from planning.settings import endpoint
from planning.settings.table import BY_NAME
from planning.text.sizes import counted

REPLICAS, IP, PORT = "CLIENT_REPLICAS", "COORDINATOR_EP", "COORDINATOR_PORT"
FLAGS = {REPLICAS: "--replicas", IP: "--coordinator-ep", PORT: "--coordinator-port"}


class Intent(NamedTuple):
    """`marks` are the fields of the new release that say who set what; `notes` say which value is taken and why."""

    spec: ClusterSpec
    marks: dict[str, object]
    notes: list[str]


def given(flags: Mapping[str, str], below: Mapping[str, tuple[str, str]]) -> dict[str, Given]:
    """Return the origins of a deploy's settings; `below` has value and origin of each without the flags."""
    return {
        name: Given(value=_canonical(value or BY_NAME[name].default), origin=origin, flag=bool(flags.get(name)))
        for name, (value, origin) in below.items()
    }


def settled(spec: ClusterSpec, asked: Mapping[str, Given], running: Release | None, by: str) -> Intent:
    """Return the spec with what stays of the `running` release; `by` names this deploy. Nothing `asked`: all stays."""
    changed = _changed(asked, running)
    clients = _Asked({name: asked[name] for name in asked if name == REPLICAS}, changed)
    place = _Asked({name: asked[name] for name in asked if name != REPLICAS}, changed)
    marks: dict[str, object] = {
        "settings": {name: one.value for name, one in asked.items()},
        "replicas_by": clients.flagged(by),
        "endpoint_by": place.flagged(by),
    }
    if running is None or not asked:
        return Intent(spec, marks, [])
    first = _replicas(Intent(spec, marks, []), clients, running)
    return _coordinator(first, place, running)


def _replicas(so_far: Intent, asked: "_Asked", running: Release) -> Intent:
    spec, marks, notes = so_far
    before, now = counted(running.replicas, "client"), counted(spec.replicas, "client")
    held = running.replicas_by
    if not held or not asked.unmoved():
        return Intent(spec, marks, notes + _replaced(before, now, held, asked))
    spec = spec.model_copy(update={"replicas": running.replicas})
    return Intent(spec, marks | {"replicas_by": held}, notes + _kept(before, now, held, asked))


def _coordinator(so_far: Intent, asked: "_Asked", running: Release) -> Intent:
    """Return the endpoint: another address comes with the settings' port, another port alone by itself."""
    spec, marks, notes = so_far
    before, now = f"coordinator {running.endpoint}", f"coordinator {spec.coordinator}"
    held, address, port = running.endpoint_by, asked.only(IP), asked.only(PORT)
    if not held or not address.unmoved():
        return Intent(spec, marks, notes + _replaced(before, now, held, asked))
    place = _endpoint(running.endpoint)
    if port.unmoved():
        notes = notes + _kept(before, now, held, asked)
    else:
        place = place.model_copy(update={"port": spec.coordinator.port})
        notes = [*notes, f"coordinator {place}: {port.why()}; {place.ip} was set by {held}, and {address.unchanged()}"]
    spec = spec.model_copy(update={"coordinator": place})
    return Intent(spec, marks | {"endpoint_by": held}, notes)


def carried(release: Release, present: Release) -> Release:
    """Return the release with the number and endpoint of the `present` one, and with who set them."""
    fields = ("replicas", "endpoint", "replicas_by", "endpoint_by", "settings")
    return release.model_copy(update={name: getattr(present, name) for name in fields})


class _Asked(NamedTuple):
    """Settings that make up one value; `changed` are those with another value now, with the one before."""

    given: Mapping[str, Given]
    changed: Mapping[str, str]

    def only(self, name: str) -> "_Asked":
        return _Asked({name: self.given[name]} if name in self.given else {}, self.changed)

    def unmoved(self) -> bool:
        """Return whether neither a flag nor another setting asks for another value."""
        return bool(self.given) and not self._flags() and not self._moved()

    def flagged(self, by: str) -> str:
        return f"{' '.join(self._flags())} of {by}" if self._flags() else ""

    def why(self) -> str:
        """Return what asks for another value; empty when nothing does."""
        if self._flags():
            return f"{' and '.join(self._flags())} of this deploy"
        return ", ".join(
            f"{self._said(name)}, where the last deploy found {self.changed[name] or 'none'}" for name in self._moved()
        )

    def unchanged(self) -> str:
        said = " and ".join(self._said(name) for name in self.given)
        verb = "is" if len(self.given) == 1 else "are"
        flags = " or ".join(FLAGS[name] for name in self.given)
        return f"{said} {verb} unchanged since the last deploy; pass {flags} to change it"

    def _flags(self) -> list[str]:
        return [FLAGS[name] for name, one in self.given.items() if one.flag]

    def _moved(self) -> list[str]:
        return [name for name in self.given if name in self.changed]

    def _said(self, name: str) -> str:
        one = self.given[name]
        if not one.value:
            return f"{name} (not set)"
        return f"{name}={one.value} of {one.origin}" if one.origin else f"the default {name}={one.value}"


def _canonical(value: str) -> str:
    """Return one spelling of a number or address; anything else is judged elsewhere."""
    try:
        return str(int(value)) if value.isdecimal() else endpoint.canonical(value)
    except ValueError:
        return value


def _changed(asked: Mapping[str, Given], running: Release | None) -> dict[str, str]:
    """Return the former values of the settings that changed; none of a release without settings."""
    known = running.settings if running else {}
    return {name: known[name] for name, one in asked.items() if name in known and known[name] != one.value}


def _kept(now: str, asked: str, held: str, why: _Asked) -> list[str]:
    return [] if now == asked else [f"{now}: set by {held}; {why.unchanged()}"]


def _replaced(before: str, now: str, held: str, why: _Asked) -> list[str]:
    if before == now or not why.given:
        return []
    by = f", set by {held}" if held else ""
    return [f"{now}: {why.why() or 'as the settings say'}; before: {before}{by}"]


def _endpoint(text: str) -> Endpoint:
    """Parse `ip:port`, with brackets around IPv6."""
    ip, _, port = text.rpartition(":")
    return Endpoint(ip=ip.strip("[]"), port=int(port))
