"""The grammar of settings about what the prove-client's container runs; by the standard library alone."""

import shlex


def command(value: str) -> str:
    """Check a program with arguments, as a shell would split it; no shell runs it."""
    try:
        parts = shlex.split(value)
    except ValueError as error:
        return f"is no command ({error}): give a program with arguments, such as client"
    return "" if parts and parts[0] else "is no command: give a program with arguments, such as client"


def directory(value: str) -> str:
    """Check an absolute directory in the image."""
    if value.startswith("/") and ".." not in value.split("/"):
        return ""
    return "is not an absolute directory of the image: give one such as /opt"


def file_within(value: str) -> str:
    """Check a file within a directory."""
    if value.startswith("/") or ".." in value.split("/") or value.endswith("/"):
        return "leaves the directory: give a file's path relative to PROVER_BASE_CONTEXT, without '..'"
    return ""
