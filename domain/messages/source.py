"""Messages about the git commit that a deployment is made from."""

from domain.model import Message
from domain.spec import Backend, ConfigSchema


class SourceRequest(Message):
    """Request for the tree to read."""

    repo: str
    stage: str = ""  # set by hand; empty: short commit
    allow_dirty: bool = False
    backend: Backend | None = None  # whose profile says what is data in the tree
    variables: dict[str, str] = {}  # built in, for the profile
    after_setup: bool = False  # the tree was clean before the backend was brought up


class Source(Message):
    """Pinned commit: every later step uses this and never reads HEAD again."""

    commit: str  # 40 hex digits; empty when STAGE is set by hand and there is no repository
    stage: str
    dirty: bool = False
    submodules: dict[str, str] = {}  # path → commit
    committed: str = ""  # when, ISO 8601 UTC; a function of the commit, so images may bear it
    by_hand: bool = False  # the stage was set by hand: its tag may move
    circuit: str = ""  # the backend profile's
    circuits: dict[str, list[str]] = {}  # configuration of the backend's programs → the circuits that it names
    config_schema: ConfigSchema | None = None  # of the client at its pin; None: it was not asked for, or cannot be told


class CheckoutRequest(Message):
    """Fetch a repository at a ref into a work tree of the worker's own."""

    repo: str  # path or URL
    ref: str = ""  # empty: the default branch


class Checkout(Message):
    """A clean work tree, of this one commit."""

    directory: str  # absolute, on the backend host
    commit: str
