"""Merge the sources of settings by precedence: flag, --env-file, environment, .env; an empty value means unset."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from planning.settings.checks import git_repository, is_url
from starter.cli import exits

DOT_ENV = ".env"
PROFILE_SUFFIXES = (".yaml", ".yml")

Origins = dict[str, tuple[str, str]]


def merged(
    flags: Mapping[str, str | None], env_file: str | None, environ: Mapping[str, str], directory: Path
) -> dict[str, str]:
    """Return settings and connection variables; the defaults of settings are not among them."""
    sources = [*_below_flags(env_file, environ, directory), ("flag", flags)]
    return {name: value for _, layer in sources for name, value in layer.items() if value}


def origins(names: Iterable[str], env_file: str | None, environ: Mapping[str, str], directory: Path) -> Origins:
    """Return the value of each setting below the flags and its source; both are empty when nothing sets it."""
    found = dict.fromkeys(names, ("", ""))
    for origin, layer in _below_flags(env_file, environ, directory):
        found |= {name: (value, origin) for name, value in layer.items() if value and name in found}
    return found


def _below_flags(
    env_file: str | None, environ: Mapping[str, str], directory: Path
) -> list[tuple[str, Mapping[str, str | None]]]:
    dot_env = directory / DOT_ENV
    return [
        (DOT_ENV, _read(dot_env, f"{DOT_ENV} of the working directory") if dot_env.is_file() else {}),
        ("the environment", environ),
        (str(env_file), _read(directory / env_file, "--env-file") if env_file else {}),
    ]


def with_paths(values: Mapping[str, str], directory: Path) -> dict[str, str]:
    """Make paths absolute, since a worker elsewhere knows nothing of our working directory."""
    found = dict(values)
    repo, profile = values.get("BACKEND_REPO", ""), values.get("BACKEND_PROFILE", "")
    if not repo:
        found["BACKEND_REPO"] = str(git_top(directory))
    elif not is_url(repo) and not git_repository(repo):  # others are reported as they were given
        found["BACKEND_REPO"] = _absolute(repo, directory)
    if "/" in profile or profile.endswith(PROFILE_SUFFIXES):
        found["BACKEND_PROFILE"] = _absolute(profile, directory)
    return found


def git_top(directory: Path) -> Path:
    """Return the git work tree around a directory, else the directory itself."""
    above = (directory, *directory.parents)
    return next((one for one in above if (one / ".git").exists()), directory)


def _absolute(path: str, directory: Path) -> str:
    """Make a path absolute without resolving links, which belong to the backend host."""
    return str((directory / Path(path).expanduser()).absolute())


def _read(path: Path, origin: str) -> dict[str, str | None]:
    # Imported here, so that `--help` does not load it.
    from dotenv import dotenv_values  # noqa: PLC0415

    try:
        if not path.is_file():
            raise exits.invalid([f"{origin} {str(path)!r} is not a file: name one with lines NAME=value."])
        # Interpolation off: a password may hold a dollar.
        return dotenv_values(path, interpolate=False)
    except UnicodeDecodeError as error:
        raise exits.invalid([f"{origin} {str(path)!r} is not text in UTF-8: {error.reason}."]) from error
    except OSError as error:
        raise exits.invalid([f"{origin} {str(path)!r} cannot be read: {error.strerror}."]) from error
