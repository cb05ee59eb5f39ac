"""The entry point: finds the command by name and loads its module only then, so that help is instant."""

import contextlib
import difflib
import os
import sys
from importlib import import_module
from typing import Any, NoReturn

import click

from starter import exits

CLI = "proverctl"
# command → module and what the overview says of it; the module's own help must begin with the same words
COMMANDS = {
    "run-all": ("deploy", "Backend, simulated data and prove-clients: everything."),
    "setup-all": ("deploy", "Backend and prove-clients, nothing simulated."),
    "deploy": ("deploy", "Prove-clients for a coordinator that already runs."),
    "scale": ("change", "Change the number of prove-clients."),
    "reset-endpoint": ("change", "Point the clients at another coordinator."),
    "tear-down": ("change", "Remove the prove-clients of one namespace."),
    "status": ("show", "One deployment: phase, release, clients, what is wrong."),
    "list": ("show", "All deployments."),
    "render": ("offline", "The Kubernetes manifests as YAML; contacts nothing."),
    "rbac": ("offline", "The rights the worker needs as YAML; contacts nothing."),
    "nodes": ("nodes", "Which nodes can take a client, and why others cannot."),
    "worker": ("work", "Run the worker that does the work."),
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


class Commands(click.Group):
    """Commands by the original's function names, with dashes or underscores."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """In the order of the story, not of the alphabet."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """Load the command's module."""
        name = cmd_name.lower().replace("_", "-")
        name = ALIASES.get(name, name)
        if name not in COMMANDS:
            return None
        module = import_module(f"starter.{COMMANDS[name][0]}")
        command: click.Command = getattr(module, name.replace("-", "_") + "_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a guess at what was meant."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-") and not ctx.resilient_parsing:
            near = difflib.get_close_matches(name, COMMANDS, 1)
            ctx.fail(f"there is no command {name!r}" + (f"; did you mean {near[0]!r}?" if near else "."))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """The overview, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Every error of the domain ends with its own exit code."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            translated = exits.translated(error)
            if translated is error:
                raise
            raise translated from error


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=EPILOG,
)
@click.version_option(package_name=CLI)
def cli() -> None:
    """Fleets of zero-knowledge prove-clients on Kubernetes, deployed and looked after by Temporal workflows.

    A setting is taken from its flag, else from the file named with --env-file, the environment, the .env of the
    working directory, or its default; an empty value means unset.
    """


def run(arguments: list[str] | None = None) -> int:
    """Run one command line; its exit code."""
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
    """The console script; a crash at interpreter exit must not replace the exit code (sdk-python#300)."""
    try:
        code = run()
    except Exception:  # noqa: BLE001 - the last line of defence: a traceback, and the code that scripts expect
        sys.excepthook(*sys.exc_info())
        code = exits.FAILED
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # the reader went away: nobody is left to tell
            stream.flush()
    os._exit(code)
