"""`backend`: the group of commands about the backend; each is loaded only when it is called."""

import click

from starter.cli.lazy_group import LazyGroup

COMMANDS = {
    "up": ("backend_lifecycle", "Set the backend up and keep it running."),
    "status": ("backend_status", "Show each step: state, duration, why it was skipped, what is wrong."),
    "logs": ("backend_status", "Show the log of one step."),
    "restart": ("backend_lifecycle", "Stop these steps and run them again."),
    "stop": ("backend_lifecycle", "Stop the backend; its data stays."),
    "purge": ("backend_lifecycle", "Stop the backend and delete its data."),
    "validate": ("backend_profile", "Check the profile; contacts nothing without --host."),
    "graph": ("backend_profile", "Draw the steps and what they need; contacts nothing."),
}
EPILOG = """\b
Examples:
  proverctl backend up --backend-repo ~/fluidex-backend --backend-profile fluidex
  proverctl backend logs coordinator -f
\b
Each command has its own --help.
"""


@click.group("backend", cls=LazyGroup, table=COMMANDS, epilog=EPILOG)
def backend_command() -> None:
    """Set up, show, restart, stop and purge the backend.

    Its profile defines it: `proverctl.yaml` in the backend's repository, or BACKEND_PROFILE. A worker with the role
    `host` does the work on the machine that has the repository.
    """
