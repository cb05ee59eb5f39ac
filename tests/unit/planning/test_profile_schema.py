"""The published JSON Schema is that of the words."""

import json

from planning.profile_schema import schema
from sandbox.settings import REPOSITORY


def test_the_published_schema_is_current() -> None:
    """`python -m planning.profile_schema > docs/proverctl.schema.json` mends it."""
    assert (REPOSITORY / "docs/proverctl.schema.json").read_text() == schema()


def test_it_knows_the_kinds() -> None:
    """A step is of exactly one kind, and fields that do not exist are refused, as the parser does."""
    step = json.loads(schema())["$defs"]["Step"]
    assert {"required": ["function"]} in step["oneOf"]
    assert step["additionalProperties"] is False
