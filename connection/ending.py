"""How a process that used Temporal's SDK ends."""

import contextlib
import os
import sys
from collections.abc import Callable
from typing import NoReturn

_FAILED = 1


def end_with(run: Callable[[], int]) -> NoReturn:
    """End this process with the exit code that `run` returns; with 1 and a traceback when it raises.

    The interpreter is left as it is: threads of the SDK may crash it while it is finalized, and that would replace the
    exit code (sdk-python#300).
    """
    try:
        code = run()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except Exception:  # noqa: BLE001 - the last line of defence
        sys.excepthook(*sys.exc_info())
        code = _FAILED
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # the reader went away: nobody is left to tell
            stream.flush()
    os._exit(code)
