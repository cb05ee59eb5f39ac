"""How workflows run activities: table of queues and timeouts, attempts, back-off and failures."""
