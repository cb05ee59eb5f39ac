"""The demo: a backend with simulated data, a fleet of provers on two nodes, and proofs that the backend stores."""

import shutil
import subprocess
import time
from pathlib import Path

import click
import psycopg

from sandbox.env_file import environment, write_settings
from sandbox.errors import WorldError
from sandbox.settings import REPOSITORY, Settings

NAMESPACE = "prover-demo"
PROOFS = 10  # stored by the coordinator before the demo says that it works
_PROOFS_SECONDS = 180
_DOT_ENV = ".env"
_OF_WORKER = ("KUBECONFIG", "DOCKER_HOST", "PROVER_STATE_DIR", "EXAMPLE_DB_PORT")  # settings that the CLI does not need
_PASSWORDS = "{state}/prover/backend/example/data/database/pgpass"
_DATABASE = f"host=127.0.0.1 port={{port}} dbname=prover user=prover passfile={_PASSWORDS}"
_PER_CLIENT = """
    SELECT left(prover_id, 29), count(*) FROM task
    WHERE status = 'proved' AND updated_time >= now() - interval '15 minutes' GROUP BY 1 ORDER BY 1
"""


def demo(settings: Settings) -> None:
    """Deploy in a running world, wait for proofs of every client, and print what to try next."""
    repository = ensure_repository(settings)
    _proverctl(settings, repository, "run-all")
    pods = _pods(settings)
    proofs = _await_proofs(settings, list(pods))
    click.echo("\nProofs verified and stored by the coordinator outside the cluster in the last 15 minutes:")
    for pod, node in pods.items():
        click.echo(f"  {pod} on {node}: {proofs[pod]}")
    _proverctl(settings, repository, "status")
    _say_what_next(settings, repository)


def ensure_repository(settings: Settings) -> Path:
    """Make a git repository of the example backend, so that STAGE comes from a real commit, with its `.env`."""
    repository = settings.state / "demo" / "backend"
    repository.mkdir(parents=True, exist_ok=True)
    source = REPOSITORY / "examples" / "prover"
    shutil.copytree(source, repository, dirs_exist_ok=True, ignore=shutil.ignore_patterns("build", "__pycache__"))
    if not (repository / ".git").exists():
        _git(repository, "init", "--quiet", "--initial-branch", "main")
    _write_dot_env(settings, repository)
    _git(repository, "add", "--all")
    if _git(repository, "status", "--porcelain"):
        _git(repository, "commit", "--quiet", "--message", "The example backend")
    return repository


def _write_dot_env(settings: Settings, repository: Path) -> None:
    """Write what every command in this directory needs; git does not see the file, so it is no change."""
    exclude = repository / ".git" / "info" / "exclude"
    exclude.parent.mkdir(exist_ok=True)
    listed = exclude.read_text() if exclude.exists() else ""
    if f"/{_DOT_ENV}" not in listed.splitlines():
        exclude.write_text(f"{listed}/{_DOT_ENV}\n/{_DOT_ENV}.new\n")
    needed = {
        name: value
        for name, value in environment(settings).items()
        if name not in _OF_WORKER and not name.startswith("WORLD_")
    }
    write_settings(repository / _DOT_ENV, {"CLUSTER_NS": NAMESPACE, "IMAGE_REPO": "demo/prover", **needed})


def _git(repository: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=demo", "-c", "user.email=demo@localhost", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", *identity, *arguments], cwd=repository, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def _proverctl(settings: Settings, repository: Path, *arguments: str) -> None:
    command = [str(settings.venv_bin / "proverctl"), *arguments]
    click.echo(f"\n$ proverctl {' '.join(arguments)}")
    own = {"PATH": f"{settings.venv_bin}:/usr/local/bin:/usr/bin:/bin", "HOME": str(Path.home()), "LANG": "C.UTF-8"}
    ended = subprocess.run(command, env=own, cwd=repository, check=False)
    if ended.returncode:
        raise WorldError(f"proverctl {arguments[0]} ended with {ended.returncode}; the reason is above")


def _pods(settings: Settings) -> dict[str, str]:
    """Name → node of the clients that run."""
    fields = r"{range .items[*]}{.metadata.name} {.spec.nodeName}{'\n'}{end}".replace("'", '"')
    listing = subprocess.run(
        [
            str(settings.bin / "kubectl"),
            f"--kubeconfig={settings.pki}/admin.kubeconfig",
            f"--namespace={NAMESPACE}",
            "get",
            "pods",
            "--selector=role=cluster-prover",
            f"--output=jsonpath={fields}",
        ],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    return dict(line.split() for line in listing.splitlines())


def _await_proofs(settings: Settings, pods: list[str]) -> dict[str, int]:
    deadline = time.monotonic() + _PROOFS_SECONDS
    shown = -1
    while time.monotonic() < deadline:
        with psycopg.connect(_DATABASE.format(port=settings.ports.database, state=settings.state)) as connection:
            rows = connection.execute(_PER_CLIENT).fetchall()
        counts = {pod: sum(number for prover, number in rows if prover.startswith(pod[:29])) for pod in pods}
        total = sum(counts.values())
        if total != shown:
            click.echo(f"{total} proofs stored", err=True)
            shown = total
        if total >= PROOFS and all(counts.values()):
            return counts
        time.sleep(0.5)
    raise WorldError(
        f"after {_PROOFS_SECONDS} s only {counts}: look at `kubectl logs` of the pods and at"
        f" {settings.state}/prover/backend (logs of the coordinator)"
    )


def _say_what_next(settings: Settings, repository: Path) -> None:
    click.echo(f"""
Temporal UI: {_ui(settings)}/namespaces/default/workflows

Try next; the settings are in {repository}/{_DOT_ENV}, so every command there works without a flag:
  cd {repository}
  export PATH={settings.venv_bin}:$PATH
  proverctl status
  proverctl scale 1
  git commit --allow-empty -m "Another commit" && proverctl deploy
  proverctl tear-down --backend --yes
Only --direct needs more: export KUBECONFIG={settings.pki}/admin.kubeconfig
`make down` in {REPOSITORY} removes everything.""")


def _ui(settings: Settings) -> str:
    return environment(settings)["WORLD_TEMPORAL_UI"]
