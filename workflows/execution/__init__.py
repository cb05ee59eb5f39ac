"""How workflows run activities: table of queues and timeouts, runner, back-off and failures."""
