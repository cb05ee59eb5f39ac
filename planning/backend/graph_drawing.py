"""Draws the steps of a backend profile and what they need, as text and as Mermaid."""

from collections.abc import Sequence

from domain.profile import Profile, Step, When
from planning.backend.steps import in_order


def as_text(profile: Profile) -> str:
    """Return the steps in layers: those of one layer need steps of earlier ones only, and may run at the same time."""
    lines = []
    for number, layer in enumerate(layers(profile.steps), 1):
        lines += [f"layer {number}", *(f"  {_line(step)}" for step in layer)]
    return "\n".join(lines)


def as_mermaid(profile: Profile) -> str:
    """Return a flowchart; an arrow goes from a step to those that need it."""
    ids = {step.name: f"s{number}" for number, step in enumerate(profile.steps)}  # a name may be a word of Mermaid's
    lines = ["flowchart TD"]
    for step in profile.steps:
        label = "<br/>".join([step.name, *_marks(step), *(["conditional"] if step.when else [])])
        lines.append(f'  {ids[step.name]}["{label}"]')
    lines += [f"  {ids[need]} --> {ids[step.name]}" for step in profile.steps for need in step.needs]
    if simulated := [ids[step.name] for step in profile.steps if step.simulated]:
        lines += ["  classDef simulated stroke-dasharray: 5 5", f"  class {','.join(simulated)} simulated"]
    return "\n".join(lines)


def layers(steps: Sequence[Step]) -> list[list[Step]]:
    """Each step as early as its needs allow; SettingsInvalid on a circle."""
    depth: dict[str, int] = {}
    found: list[list[Step]] = []
    for step in in_order(steps):
        depth[step.name] = max((depth[need] + 1 for need in step.needs if need in depth), default=0)
        if depth[step.name] == len(found):
            found.append([])
        found[depth[step.name]].append(step)
    return found


def _line(step: Step) -> str:
    kind, *others = _marks(step)
    needs = [f"needs {', '.join(step.needs)}"] if step.needs else []
    condition = [f"only when {_condition(step.when)}"] if step.when else []
    return f"{step.name} ({kind})" + "".join(f"; {mark}" for mark in [*needs, *others, *condition])


def _condition(when: When) -> str:
    if when.equal:
        return " is ".join(text or "empty" for text in when.equal)
    if when.all_exist:
        return f"{' and '.join(when.all_exist)} exist{'s' if len(when.all_exist) == 1 else ''}"
    return f"{' or '.join(when.any_missing)} is missing"


def _marks(step: Step) -> list[str]:
    """Kind first; then what sets it apart."""
    marks = [step.kind]
    if step.simulated:
        marks.append("simulated")
    if step.optional:
        marks.append("optional")
    if step.values:
        marks.append(f"hands on {', '.join(step.values)}")
    return marks
