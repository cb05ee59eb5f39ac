"""Reads from Temporal's own history how long a part of a deployment took."""

from temporalio.client import Client


async def seconds_between(address: str, workflow_id: str, begin: str, end: str) -> float:
    """From the completion of activity `begin` to that of activity `end`, in the first run of a deployment."""
    client = await Client.connect(address)
    latest = await client.get_workflow_handle(workflow_id).fetch_history()
    first = latest.events[0].workflow_execution_started_event_attributes.first_execution_run_id
    history = await client.get_workflow_handle(workflow_id, run_id=first).fetch_history()
    names = {
        event.event_id: event.activity_task_scheduled_event_attributes.activity_type.name
        for event in history.events
        if event.HasField("activity_task_scheduled_event_attributes")
    }
    completed = {
        names[event.activity_task_completed_event_attributes.scheduled_event_id]: event.event_time.ToMicroseconds()
        for event in history.events
        if event.HasField("activity_task_completed_event_attributes")
    }
    return (completed[end] - completed[begin]) / 1e6
