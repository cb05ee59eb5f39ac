"""What in a compose file is refused before anything runs, and which version is too old."""

import pytest
import yaml

from planning.backend.compose_validation import Local, judge, version_of, version_warnings


@pytest.mark.parametrize(
    "path",
    [
        "oci://registry.example/app:1",
        "OCI://registry.example/app",
        "https://github.com/a/b.git",
        "http://example.org/compose.yaml",
        "git://example.org/b",
        "ssh://git@example.org/b",
        "git@github.com:a/b.git",
        "host:path/compose.yaml",
        "github.com/a/b",
        "file:///etc/compose.yaml",
        "${WHERE}/compose.yaml",
        "$WHERE",
        "",
        7,
    ],
)
def test_what_is_no_file_here(path: object) -> None:
    """As an include, in each of its forms, and as the base of a service: refused, with its field."""
    for include in ([path], [{"path": path}], [{"path": ["here.yaml", path]}]):
        (problem,) = judge({"include": include}).problems
        assert problem.startswith("include[0]")
    (problem,) = judge({"services": {"a": {"extends": {"service": "b", "file": path}}}}).problems
    assert problem.startswith("services.a.extends.file")


@pytest.mark.parametrize(
    "build",
    [
        "https://github.com/a/b.git#main",
        "git@github.com:a/b.git",
        {"context": "github.com/a/b"},
        {"context": "${WHERE:-https://example.org/x.tar.gz}"},
        {"context": ".", "additional_contexts": {"more": "https://example.org/more.git"}},
        {"context": ".", "additional_contexts": ["more=git://example.org/more"]},
    ],
)
def test_a_build_context_from_elsewhere(build: object) -> None:
    """Refused: it is neither pinned nor part of the repository."""
    (problem,) = judge({"services": {"a": {"build": build}}}).problems
    assert problem.startswith("services.a.build: context")
    assert problem.endswith("is not on this host")


def test_a_password_in_a_path_is_not_repeated() -> None:
    """A URL may hold one."""
    (problem,) = judge({"include": ["https://me:canary@example.org/b.git"]}).problems
    assert "canary" not in problem


def test_local_files_are_fine_and_have_to_be_judged_too() -> None:
    """Included ones add their services; extended ones do not; contexts here are nobody's business."""
    document = {
        "include": ["a.yaml", {"path": ["./b.yaml", "../c.yaml"], "project_directory": ".."}],
        "services": {
            "web": {"extends": {"service": "base", "file": "base.yaml"}, "build": {"context": "./web"}},
            "db": {"extends": "base", "build": "${DIR}/db", "image": "registry.example:5000/db"},
            "more": {"build": {"context": ".", "additional_contexts": {"base": "docker-image://alpine"}}},
        },
    }
    judged = judge(document)
    assert judged.problems == []
    assert judged.files == [
        Local("a.yaml", included=True),
        Local("./b.yaml", included=True, directory=".."),
        Local("../c.yaml", included=True, directory=".."),
        Local("base.yaml", included=False),
    ]
    assert judged.services == ["web", "db", "more"]


def test_services_without_a_container_of_their_own() -> None:
    """Only in a profile, scaled to nothing or to what a variable says, or somebody else's."""
    text = """
    services:
      always: {image: a}
      twice: {image: a, deploy: {replicas: 2}}
      debug: {image: a, profiles: [debug]}
      none: {image: a, scale: 0}
      perhaps: {image: a, deploy: {replicas: "${N}"}}
      cloud: {provider: {type: awesome}}
      broken: 3
    """
    assert judge(yaml.safe_load(text)).services == ["always", "twice"]


@pytest.mark.parametrize("document", [None, {}, {"services": None}, {"services": ["a"]}, {"include": None}])
def test_documents_that_say_nothing(document: object) -> None:
    """Compose itself has to say what is wrong with them."""
    assert judge(document).problems == []
    assert judge(["a"]).problems == ["is no mapping"]


@pytest.mark.parametrize(
    ("said", "version", "warns"),
    [
        ("2.40.2\n", (2, 40, 2), False),
        ("v2.40.3", (2, 40, 3), False),
        ("v5.0.0-rc.1", (5, 0, 0), False),
        ("2.40.1", (2, 40, 1), True),
        ("2.26.1-4", (2, 26, 1), True),
        ("1.29.2", (1, 29, 2), True),
        ("2.41", (2, 41, 0), False),
        ("unknown", (), True),
    ],
)
def test_versions(said: str, version: tuple[int, ...], warns: bool) -> None:
    """An older one is named in a warning."""
    assert version_of(said) == version
    warnings = version_warnings(version)
    assert bool(warnings) is warns
    assert all(".".join(map(str, version)) in warning for warning in warnings)
