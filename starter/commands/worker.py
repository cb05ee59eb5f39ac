"""`worker`: run the worker, with the same precedence of settings as every other command."""
# ruff: noqa: PLC0415 - the worker is the heaviest of all

from typing import Any

import click

from starter.cli import exits, options

ROLES = ("deploy", "kube", "host")


@options.command("worker", "proverctl worker", "proverctl worker --roles kube --env-file /etc/proverctl.env")
@click.option("--roles", default=",".join(ROLES), show_default=True, help="Roles of this worker, separated by commas.")
@options.everywhere
def worker_command(roles: str, **params: Any) -> None:
    """Run the worker, which carries out the other commands.

    Role deploy runs the workflows, kube reaches the Kubernetes clusters, host has the backend's repository, keys and
    processes. The worker ends on SIGTERM or Ctrl-C; the next worker continues its work.
    """
    chosen = tuple(dict.fromkeys(role.strip() for role in roles.split(",") if role.strip()))
    wrong = [role for role in chosen if role not in ROLES]
    if wrong or not chosen:
        raise exits.invalid([f"--roles {roles!r} names no role: give some of {','.join(ROLES)}, comma separated."])
    from starter.cli.invocation import invocation
    from starter.temporal.inline_worker import work

    work(invocation(params).values, chosen)
