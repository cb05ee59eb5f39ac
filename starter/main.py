"""The entry point: all commands, and the exit code of each way in which one may end."""

from typing import Any, NoReturn

import click

from connection.ending import end_with
from starter.cli import exits
from starter.cli.lazy_group import LazyGroup

CLI = "proverctl"
COMMANDS = {
    "run-all": ("deploy", "Deploy everything: backend, simulated data and prove-clients."),
    "setup-all": ("deploy", "Deploy the backend and prove-clients, nothing simulated."),
    "deploy": ("deploy", "Deploy prove-clients for a coordinator that already runs."),
    "scale": ("change", "Change the number of prove-clients."),
    "reset-endpoint": ("change", "Point the clients at another coordinator."),
    "tear-down": ("change", "Remove the prove-clients of one namespace."),
    "answer": ("answer", "Choose how a command continues that waits for a person."),
    "status": ("status", "Show one deployment: phase, release, clients, what is wrong."),
    "list": ("status", "List all deployments."),
    "render": ("render", "Print the Kubernetes manifests as YAML; contacts nothing."),
    "rbac": ("render", "Print the rights the worker needs as YAML; contacts nothing."),
    "backend": ("backend", "Set up, show, restart, stop and purge the backend."),
    "preflight": ("preflight", "Check everything that could stop a deploy, each with a verdict and a remedy."),
    "nodes": ("nodes", "Show which nodes can take a client, and why others cannot."),
    "plan": ("plan", "Show what a deploy would change, object by object, and what it costs."),
    "diagnose": ("diagnose", "Show everything that is wrong with the clients, or that nothing is."),
    "images": ("images", "List prover images at the registry and on the backend host; remove old ones."),
    "worker": ("worker", "Run the worker, which carries out the other commands."),
}
EPILOG = """\b
Example:
  proverctl run-all -n provers --image-repo registry.example.com:5000/prover --coordinator-ep 10.0.0.7
\b
Exit codes:
  0 done, 1 failed or parked, 2 wrong settings, 3 refused by a check, 4 timed out (it goes on),
  5 Temporal unreachable, 6 no worker, 130 interrupted (it goes on)
\b
Each command has its own --help.
"""
ALIASES = {"scale-cluster": "scale"}


class Commands(LazyGroup):
    """The group of all commands."""

    def invoke(self, ctx: click.Context) -> Any:
        """End every error of the domain with its own exit code."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            translated = exits.translated(error)
            if translated is error:
                raise
            raise translated from error


@click.group(
    cls=Commands,
    table=COMMANDS,
    aliases=ALIASES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=EPILOG,
)
@click.version_option(package_name=CLI)
def cli() -> None:
    """Deploy and operate fleets of zero-knowledge prove-clients on Kubernetes with Temporal workflows.

    A setting is taken from its flag, else from the file named with --env-file, the environment, the .env of the
    working directory, or its default; an empty value means unset.
    """


def run(arguments: list[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    try:
        result = cli.main(arguments, prog_name=CLI, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("proverctl: interrupted.", err=True)
        return exits.INTERRUPTED
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else exits.FAILED
    return result if isinstance(result, int) else exits.DONE


def main() -> NoReturn:
    """Run the console script."""
    end_with(run)
