"""Settings of the Temporal test server and the longest wait of a test."""

import sys
from pathlib import Path

FAST = [  # the defaults move a workflow one step per 50 ms
    *("--dynamic-config-value", "history.transferProcessorMaxPollRPS=10000"),
    *("--dynamic-config-value", "history.timerProcessorMaxPollRPS=10000"),
]
PATIENCE = 20.0  # real seconds that a test waits for a condition
BIN = Path(sys.executable).parent
