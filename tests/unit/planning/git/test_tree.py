"""What a commit would put on disk: what leads out of it is found before anything is written."""

import pytest

from planning.git import tree
from planning.git.tree import Submodule, TreeEntry

URL = "https://git.example.com/team/backend.git"


@pytest.mark.parametrize(
    ("path", "target"),
    [("a", "b"), ("d/a", "../b"), ("d/e/a", "../../b/c"), ("a", "./b//c"), ("a", "."), ("d/a", ".."), ("a", ".github")],
)
def test_links_that_stay(path: str, target: str) -> None:
    """In the tree, also when what they lead to is not there."""
    assert tree.link_fault(path, target) == ""


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("a", "/etc/passwd"),
        ("a", "../b"),
        ("d/a", "../../b"),
        ("a", "d/../../b"),
        ("a", "d/.."),  # d may be a link itself, and then this is somewhere else
        ("a", ".git/hooks"),
        ("d/a", "../.GIT"),
        ("a", "git~1/config"),
        ("a", ".git "),
    ],
)
def test_links_that_lead_out(path: str, target: str) -> None:
    """Absolute, upwards, upwards behind another link, or into git's own files."""
    assert tree.link_fault(path, target).startswith(f"{path} is a link ")


@pytest.mark.parametrize(
    "path", ["../x", "a/../../x", "/x", "a//b", ".git/modules/x", "a/.GIT", "a/.git.", "-u", "a/--x", "a\r", "a\nb", ""]
)
def test_places_where_no_submodule_may_be(path: str) -> None:
    """As in the holes that git has had over the years."""
    assert tree.path_fault(path) != ""


@pytest.mark.parametrize(
    ("parent", "url", "resolved"),
    [
        (URL, "../other.git", "https://git.example.com/team/other.git"),
        (URL, "../../x/y", "https://git.example.com/x/y"),
        (URL, "./inner", "https://git.example.com/team/backend.git/inner"),
        ("ssh://git@h/a/b", "../c", "ssh://git@h/a/c"),
        ("/srv/a/b", "../c", "/srv/a/c"),
        (URL, "https://github.com/x/y", "https://github.com/x/y"),
        (URL, "git@github.com:x/y.git", "ssh://git@github.com/x/y.git"),
        ("/srv/a", "https://github.com/x/y", "https://github.com/x/y"),
    ],
)
def test_where_a_submodule_comes_from(parent: str, url: str, resolved: str) -> None:
    """Relative URLs as git resolves them, ssh's short form spelled out."""
    assert tree.submodule_url(parent, url) == resolved


@pytest.mark.parametrize("parent", [URL, "/srv/a"])
@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c id",
        "file:///etc",
        "/etc",
        "etc",
        "http://h/x",
        "git://h/x",
        "https://ann:secret@h/x",
        "-u./evil",
        "ssh://-oProxyCommand=id/x",
        "-oProxyCommand=id:x",
        "",
    ],
)
def test_transports_that_are_not_taken(parent: str, url: str) -> None:
    """Nothing but https and ssh, without credentials; a directory only beside one."""
    assert tree.submodule_url(parent, url) == ""


def test_a_relative_url_cannot_climb_out_of_its_host() -> None:
    """More levels up than there are."""
    assert tree.submodule_url(URL, "../../../x") == ""


def test_submodules_that_are_listed() -> None:
    """A pin that `.gitmodules` does not list is left out; the others are named by their path alone."""
    listed = {"one.path": "parts/one", "one.url": "../one", "two.path": "../two", "two.url": "../two"}
    listed |= {"x.path": "x", "x.url": "ext::sh"}
    good, faults = tree.submodules(listed, {"parts/one": "1", "../two": "2", "x": "3", "unlisted": "4"}, URL)
    assert good == [Submodule("parts/one", "1", "https://git.example.com/team/one")]
    assert faults == [
        "submodule path '../two' leaves its place",
        "submodule x names no repository that may be fetched from",
    ]


def test_the_listing_of_a_tree() -> None:
    """Names of any kind, sizes where git knows them."""
    listing = "100644 blob aa      12\ta b\x00120000 blob bb       3\tl\n\x00160000 commit cc       -\tsub\x00"
    found = tree.entries(listing)
    assert found == [
        TreeEntry("100644", "aa", 12, "a b"),
        TreeEntry("120000", "bb", 3, "l\n"),
        TreeEntry("160000", "cc", 0, "sub"),
    ]
    assert tree.pins(found) == {"sub": "cc"}
    assert tree.modules_fault(found) == ""
    assert tree.modules_fault([TreeEntry("120000", "dd", 1, ".gitmodules")]) == ".gitmodules is no plain file"
