"""The cache of built binaries: built once, rebuilt when anything changes, never half there."""

import re
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox import binaries
from sandbox.binaries import CHECKSUM, COMPOSE, CRANE, KWOK, MODULES, REGISTRY, Module, ensure_binaries, ensure_built
from sandbox.errors import WorldError
from sandbox.kubernetes.control_plane import write_dns_configuration
from sandbox.peers import PEERS
from sandbox.settings import Settings

_MODULE = Module("tool", "v1", ("example.org/cmd/tool",), "no time")
_GO = """#!/bin/sh
echo called >>{calls}
while [ "$1" != -o ]; do shift; done
echo binary >"$2/tool"
exit {code}
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return settings with a cache of their own, a module `tool`, and a Go that writes a file."""
    (tmp_path / "modules" / "tool").mkdir(parents=True)
    (tmp_path / "modules" / "tool" / "go.mod").write_text("module tool\n")
    monkeypatch.setattr(binaries, "_MODULES", tmp_path / "modules")
    _install_go(tmp_path, monkeypatch, code=0)
    return Settings(cache=tmp_path / "cache")


def _install_go(directory: Path, monkeypatch: pytest.MonkeyPatch, *, code: int) -> None:
    go = directory / "go"
    go.write_text(_GO.format(calls=directory / "calls", code=code))
    go.chmod(go.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(binaries, "go_command", lambda _: str(go))


def _calls(directory: Path) -> int:
    return len((directory / "calls").read_text().splitlines())


def test_builds_once(settings: Settings, tmp_path: Path) -> None:
    """The second world on a machine finds what the first has built."""
    first = ensure_built(settings, _MODULE)
    second = ensure_built(settings, _MODULE)

    assert first == second
    assert (first / "tool").read_text() == "binary\n"
    assert _calls(tmp_path) == 1


def test_builds_again_when_the_pins_change(settings: Settings, tmp_path: Path) -> None:
    """Another go.mod or other flags are another binary."""
    first = ensure_built(settings, _MODULE)
    (tmp_path / "modules" / "tool" / "go.mod").write_text("module tool // newer\n")
    second = ensure_built(settings, _MODULE)
    third = ensure_built(settings, replace(_MODULE, linker_flags="-s"))

    assert len({first, second, third}) == 3


def test_failed_build_leaves_nothing_that_looks_built(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names module and log; the next try builds anew."""
    _install_go(tmp_path, monkeypatch, code=1)
    with pytest.raises(WorldError, match=r"building tool v1 failed"):
        ensure_built(settings, _MODULE)
    _install_go(tmp_path, monkeypatch, code=0)

    assert (ensure_built(settings, _MODULE) / "tool").exists()


def test_links_follow_the_cache(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A world's bin shows the binaries of the pins of today."""
    monkeypatch.setattr(Settings, "bin", tmp_path / "bin")
    ensure_binaries(settings, (_MODULE,))
    (tmp_path / "modules" / "tool" / "go.mod").write_text("module tool // newer\n")
    ensure_binaries(settings, (_MODULE,))

    assert (tmp_path / "bin" / "tool").readlink() == ensure_built(settings, _MODULE) / "tool"


def test_pinned_modules_are_complete() -> None:
    """Each module that the world or a benchmark needs has its sums committed beside it."""
    programs = [program for module in (*MODULES, KWOK) for program in module.programs]

    assert {"kube-apiserver", "kubelet", "kubectl", "coredns", "kwok", "pause", "probe"} <= set(programs)
    for module in (*MODULES, KWOK, COMPOSE, REGISTRY, CRANE, CHECKSUM, *PEERS):
        assert (Path(binaries.__file__).parent / "modules" / module.name / "go.sum").exists()


def test_coredns_has_the_plugins_of_the_corefile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each directive that a world writes is compiled in, in CoreDNS's order, and no other plugin is."""
    monkeypatch.setattr(Settings, "state", tmp_path)
    resolver = tmp_path / "resolv.conf"
    resolver.write_text("nameserver 192.0.2.1\n")
    write_dns_configuration(Settings(), resolver)
    named = set(re.findall(r"^    (\w+)", (tmp_path / "Corefile").read_text(), re.MULTILINE))
    main = (Path(binaries.__file__).parent / "modules" / "coredns" / "main.go").read_text()
    imported = re.findall(r"coredns/plugin/(\w+)", main)
    ordered = re.findall(r'"(\w+)"', main[main.index("Directives") :])

    assert set(imported) == set(ordered) == named
    assert ordered == ["bind", "health", "errors", "kubernetes", "forward"]
