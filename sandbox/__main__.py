"""The command line of the embedded world: up, down, demo, status, env, restart."""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from sandbox.demo import demo as run_demo
from sandbox.errors import WorldError
from sandbox.removal import down as take_down
from sandbox.services.supervision import Supervisor
from sandbox.settings import Settings
from sandbox.status import status as show_status
from sandbox.world import require_machine
from sandbox.world import up as bring_up


@click.group()
def cli() -> None:
    """Real Kubernetes, registries, Docker Engine and Temporal on this machine, for demo and tests."""


@cli.command()
@click.option("--worker", is_flag=True, help="Start the product's worker, too.")
def up(worker: bool) -> None:
    """Bring the world up, or repair it; takes seconds when it is up."""
    settings = Settings.from_environment()
    with _alone(settings):
        bring_up(settings, worker=worker)
    click.echo(f"world {settings.name} is up: {settings.env_file}")


@cli.command()
def down() -> None:
    """Remove everything but the cache."""
    settings = Settings.from_environment()
    require_machine()
    with _alone(settings):
        take_down(settings)


@cli.command()
def demo() -> None:
    """Bring the world up and deploy a fleet of provers that return real proofs."""
    settings = Settings.from_environment()
    with _alone(settings):
        bring_up(settings, worker=True)
    run_demo(settings)


@cli.command()
def status() -> None:
    """Show processes and endpoints; exits with 1 when something does not run."""
    sys.exit(0 if show_status(Settings.from_environment()) else 1)


@cli.command()
@click.option("--path", is_flag=True, help="Print only where the file is.")
def env(path: bool) -> None:
    """Print the settings by which proverctl and the tests find the world."""
    file = Settings.from_environment().env_file
    if not file.exists():
        raise WorldError(f"{file} does not exist: run `make up`")
    click.echo(file if path else file.read_text(), nl=path)


@cli.command()
@click.argument("name")
def restart(name: str) -> None:
    """Restart one process of the world."""
    supervisor = Supervisor(Settings.from_environment())
    supervisor.stop(name)
    supervisor.start(name)


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    locks = settings.cache / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / f"world-{settings.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            click.echo(f"another up or down of world {settings.name} is at work: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main() -> None:
    """Run the command; errors of the world are sentences, not tracebacks."""
    os.umask(0o022)
    os.environ["PATH"] += ":/usr/sbin:/sbin"  # `su` without a dash leaves a root without them
    try:
        cli(prog_name="python -m sandbox")
    except WorldError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
