"""Write the JSON Schema of `proverctl.yaml`, for editors, to standard output.

Run it as `python -m planning.backend.json_schema`; docs/proverctl.schema.json is its output. It knows fields, types and
patterns; what only the whole profile shows is said by `proverctl backend validate`.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any

from domain.profile import KINDS, Counterpart, Profile, Wait, When


def schema() -> str:
    """Return the schema as JSON."""
    found: dict[str, Any] = Profile.model_json_schema()
    exactly_one: dict[str, Sequence[str]] = {
        "Step": KINDS,
        "Wait": list(Wait.model_fields),
        "When": list(When.model_fields),
        "Counterpart": list(Counterpart.model_fields),
    }
    for name, fields in exactly_one.items():
        found["$defs"][name]["oneOf"] = [{"required": [field]} for field in fields]
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "proverctl.yaml"}
    return json.dumps(found | head, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema())
