"""`python -m bench all` runs every benchmark; `python -m bench NAME --json` prints one result as JSON."""

import sys

import click

from bench import cli_start
from bench.faults import transient, verdict
from bench.image import cold, commit, memory, resume
from bench.result import Result
from bench.rollout import deploy, lag
from bench.world import nodes
from bench.world.embedded import World

BENCHES = {
    "cli-start": cli_start.run,
    "deploy": deploy.run,
    "image-cold": cold.run,
    "image-commit": commit.run,
    "image-memory": memory.run,
    "image-resume": resume.run,
    "nodes": nodes.run,
    "rollout-lag": lag.run,
    "verdict": verdict.run,
    "verdict-transient": transient.run,
}


@click.command()
@click.argument("name", type=click.Choice(["all", *BENCHES]))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line on stdout.")
def main(name: str, as_json: bool) -> None:
    """Measure on the embedded world, which is brought up first."""
    world = World()
    world.up()
    results = [bench(world) for known, bench in BENCHES.items() if name in ("all", known)]
    for result in results:
        print(result.json() if as_json else _sentence(result))
    sys.exit(0 if all(result.holds for result in results) else 1)


def _sentence(result: Result) -> str:
    peers = ", ".join(f"{name} {figures.p50}" for name, figures in result.peers.items())
    beside = f" beside {peers} (x{result.ratio})" if peers else ""
    verdict = "holds" if result.holds else "MISSED"
    return f"{result.metric}: {result.ours.p50} {result.unit}{beside}; {result.goal}: {verdict}"


if __name__ == "__main__":
    main()
