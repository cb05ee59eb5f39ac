"""Cleans text that others wrote before anybody sees it: no terminal escapes, nothing that looks like a credential."""


def printable(text: str) -> str:
    """Without escape sequences and control characters; newlines and tabs stay."""
    raise NotImplementedError


def scrub(text: str) -> str:
    """Printable, and with everything that looks like a credential masked."""
    raise NotImplementedError
