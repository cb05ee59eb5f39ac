"""Definition of a setting. Only the standard library is imported, so that `proverctl --help` stays fast."""

from typing import NamedTuple

from planning.settings.checks import Check


class Setting(NamedTuple):
    """Setting; `default` is text as a user would write it, empty when there is none."""

    name: str  # of the variable
    flag: str  # empty: never a flag, for it is a secret
    default: str
    help: str
    check: Check
    group: str
    masked: bool = False  # its value is never shown, not even in an error
    switch: bool = False  # the flag takes no value
    short: str = ""  # a second, shorter flag
