"""What is published about the profile is true: the JSON Schema, and the reference with its example."""

import json

from domain import profile
from domain.model import Document
from planning.backend.json_schema import schema
from planning.backend.profile_parser import read
from planning.backend.profile_validation import faults
from sandbox.settings import REPOSITORY


def test_the_published_schema_is_current() -> None:
    """Run `python -m planning.backend.json_schema > docs/proverctl.schema.json` to update the file."""
    assert (REPOSITORY / "docs/proverctl.schema.json").read_text() == schema()


def test_it_knows_the_kinds() -> None:
    """A step is of exactly one kind, and fields that do not exist are refused, as the parser does."""
    step = json.loads(schema())["$defs"]["Step"]
    assert {"required": ["function"]} in step["oneOf"]
    assert step["additionalProperties"] is False


def test_every_field_is_documented() -> None:
    """docs/backend-profile.md has a row for each field of each part."""
    parts = [one for one in vars(profile).values() if isinstance(one, type) and issubclass(one, Document)]
    fields = {name for part in parts for name in part.model_fields}
    page = _page()
    assert sorted(name for name in fields if f"\n| `{name}` |" not in page) == []


def test_every_default_is_documented() -> None:
    """Of a step: the numbers that the table names are those of the words."""
    page = _page()
    for name, field in profile.Step.model_fields.items():
        if isinstance(field.default, int) and not isinstance(field.default, bool):
            assert f"\n| `{name}` | {field.default} |" in page


def test_the_example_is_a_good_profile() -> None:
    """It can be copied."""
    text = _page().partition("```yaml\n")[2].partition("```")[0]
    document = read(text, "example")
    assert document.profile is not None
    assert document.sentences([*document.faults, *faults(document.profile)]) == []
    assert {step.kind for step in document.profile.steps} == set(profile.KINDS)


def _page() -> str:
    return (REPOSITORY / "docs/backend-profile.md").read_text()
