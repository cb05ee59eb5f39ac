"""The one error of the world: what failed, on what, why, and what to do about it."""


class WorldError(Exception):
    """A step of bringing the world up or down failed; the message is for the person at the terminal."""
