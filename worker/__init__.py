"""The process that does the work: it wires clients into activities and polls the task queues."""
