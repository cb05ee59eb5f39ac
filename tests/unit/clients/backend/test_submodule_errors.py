"""What to do about each thing that git says of submodules."""

import pytest

from clients.backend.steps.submodules import advice, argv
from domain.profile import Step


def test_arguments() -> None:
    """Pinned commits, nested ones too; paths cannot be taken for options; none means all."""
    some = Step.model_validate({"name": "sub", "submodules": {"paths": ["-x", "rollup"]}})
    begin = ["git", "submodule", "update", "--init", "--recursive", "--checkout", "--"]
    assert argv(some) == [*begin, "-x", "rollup"]
    assert argv(Step.model_validate({"name": "sub", "submodules": {}})) == begin


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("git@github.com: Permission denied (publickey,password).\nfatal: Could not read from remote", "ssh key"),
        ("Host key verification failed.\nfatal: Could not read from remote repository.", "known_hosts"),
        ("fatal: could not read Username for 'https://github.com': terminal prompts disabled", "credential helper"),
        ("ssh: connect to host example port 22: Connection refused", "reaches the submodule's host"),
        ("fatal: unable to access 'https://x/': Could not resolve host: x", "reaches the submodule's host"),
        ("fatal: remote error: upload-pack: not our ref 0123", "no longer has it"),
        (f"Fetched in submodule path 'a', but it did not contain {'0' * 40}.", "no longer has it"),
        ("error: Your local changes to the following files would be overwritten by checkout", "local changes"),
        ("fatal: transport 'file' not allowed", "protocol.file.allow"),
        ("error: pathspec 'rolup' did not match any file(s) known to git", ".gitmodules"),
        ("fatal: not a git repository (or any of the parent directories): .git", "BACKEND_REPO"),
        ("something new", "by hand"),
    ],
)
def test_advice(said: str, remedy: str) -> None:
    """Each cause has its remedy, and an unknown one still a next step."""
    assert remedy in advice(said)
