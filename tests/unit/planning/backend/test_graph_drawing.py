"""The graph of a profile, as text and as Mermaid."""

import pytest

from domain.errors import SettingsInvalid
from domain.profile import Profile
from planning.backend.graph_drawing import as_mermaid, as_text
from planning.backend.profile_parser import read

_TEXT = """
name: b
steps:
- {name: end, needs: [node, build], process: [x], simulated: true}
- {name: build, command: [make]}
- {name: node, process: [node]}
- name: deploy
  needs: [node]
  when: {any_missing: [a, b]}
  command: [deploy]
  values: {ADDR: {log: "(.)"}}
- {name: check, needs: [deploy], command: [c], when: {equal: ["${CIRCUIT}", ""]}}
- {name: again, needs: [deploy], command: [c], when: {all_exist: [f]}}
"""


def _profile(text: str = _TEXT) -> Profile:
    profile = read(text, "p").profile
    assert profile is not None
    return profile


def test_text_is_in_layers() -> None:
    """Each step as early as its needs allow, with kind, needs and what sets it apart."""
    assert (
        as_text(_profile())
        == """\
layer 1
  build (command)
  node (process)
layer 2
  end (process); needs node, build; simulated
  deploy (command); needs node; hands on ADDR; only when a or b is missing
layer 3
  check (command); needs deploy; only when ${CIRCUIT} is empty
  again (command); needs deploy; only when f exists"""
    )


def test_mermaid_has_a_node_per_step_and_an_arrow_per_need() -> None:
    """A step may be called `end`, which is a word of Mermaid's: names stand in labels only."""
    text = "name: b\nsteps:\n- {name: end, needs: [a], process: [x], simulated: true}\n- {name: a, command: [x]}\n"
    assert (
        as_mermaid(_profile(text))
        == """\
flowchart TD
  s0["end<br/>process<br/>simulated"]
  s1["a<br/>command"]
  s1 --> s0
  classDef simulated stroke-dasharray: 5 5
  class s0 simulated"""
    )


def test_a_circle_has_no_layers() -> None:
    """It is named instead of drawn for ever."""
    with pytest.raises(SettingsInvalid, match="a needs itself"):
        as_text(_profile("name: b\nsteps:\n- {name: a, needs: [a], command: [x]}\n"))
