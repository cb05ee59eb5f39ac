"""Logs of a worker: one JSON object a line on stderr."""

import asyncio
import json
import logging
import sys
from datetime import UTC, datetime

from temporalio.runtime import LogForwardingConfig, LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter

from planning.text.sanitize import scrub


class JsonLines(logging.Formatter):
    """Scrubbed once more: a second line of defence against secrets in a library's message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "from": record.name,
            "message": scrub(record.getMessage()),
        }
        if record.exc_info:
            line["error"] = scrub(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def _matters(record: logging.LogRecord) -> bool:
    """Return whether a record matters: the SDK logs each cancelled watch as a failure with a traceback."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def forward_core() -> None:
    """Have the SDK's native core log through Python: by itself it writes coloured lines to stdout.

    To be called before the first connection, which makes the core's runtime.
    """
    forwarding = LogForwardingConfig(logger=logging.getLogger("temporalio.core"))
    telemetry = TelemetryConfig(logging=LoggingConfig(filter=TelemetryFilter("WARN", "ERROR"), forwarding=forwarding))
    Runtime.set_default(Runtime(telemetry=telemetry), error_if_already_set=False)


def to_stderr(level: int = logging.INFO) -> None:
    """Send everything of this process there; libraries that print bodies of requests only warn."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    handler.addFilter(_matters)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in ("urllib3", "kubernetes", "docker", "git"):
        logging.getLogger(name).setLevel(logging.WARNING)
