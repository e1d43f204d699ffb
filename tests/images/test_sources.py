from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from featx.errors import ImagesNotFound
from featx.images.sources import IMAGE_SUFFIXES, find_images, natural_key


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Write files of one byte each, and return their folder."""

    def make_files(*names: str) -> Path:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
        return tmp_path

    return make_files


def keys_of(*paths: str | Path) -> list[str]:
    return [item.key for item in find_images(paths).items]


# ---- order ----


def test_keys_are_relative_with_slashes_in_natural_order(make: Callable[..., Path]) -> None:
    root = make("b/10.jpg", "b/2.jpg", "b/1.jpg", "a/3.png", "top.jpg", "b2/1.jpg", "b10/1.jpg")
    found = find_images([root])
    assert [item.key for item in found.items] == [
        "a/3.png",
        "b/1.jpg",
        "b/2.jpg",
        "b/10.jpg",
        "b2/1.jpg",
        "b10/1.jpg",
        "top.jpg",
    ]
    assert found.root.path == root
    assert found.failures == ()


def test_a_folder_sorts_before_names_that_go_on_after_its_own(make: Callable[..., Path]) -> None:
    # Plain string order would put "a.jpg" and "a b/1.jpg" before "a/1.jpg".
    root = make("a/1.jpg", "a.jpg", "a b/1.jpg")
    assert keys_of(root) == ["a/1.jpg", "a b/1.jpg", "a.jpg"]


def test_leading_zeros_sort_by_value_then_by_text() -> None:
    names = ["10", "1", "01", "001", "2"]
    assert sorted(names, key=natural_key) == ["001", "01", "1", "2", "10"]


@given(st.lists(st.text(alphabet="a1029.B/é٣ ", max_size=8), max_size=8))
def test_natural_order_is_total_and_does_not_depend_on_the_input_order(names: list[str]) -> None:
    ordered = sorted(names, key=natural_key)
    names.reverse()
    assert sorted(names, key=natural_key) == ordered
    for first, second in pairwise(ordered):
        assert first == second or natural_key(first) < natural_key(second)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.text(alphabet="ab/-", max_size=4))
def test_natural_order_follows_the_numbers(first: int, second: int, prefix: str) -> None:
    in_order = natural_key(f"{prefix}{first}.jpg") < natural_key(f"{prefix}{second}.jpg")
    assert in_order == (first < second)


def order_by_definition(name: str) -> tuple[object, ...]:
    """What natural order means: folder by folder, text as text, numbers by value, then the name."""
    parts = tuple(
        tuple(
            int(piece) if index % 2 else piece
            for index, piece in enumerate(re.split(r"([0-9]+)", part))
        )
        for part in name.split("/")
    )
    return (parts, name)


ANY_NAME = st.text(max_size=8) | st.text(alphabet="\0\1\2\3\4/0129a é٣", max_size=12)


@settings(max_examples=500)
@given(st.lists(ANY_NAME, max_size=12))
def test_natural_order_is_the_one_defined(names: list[str]) -> None:
    assert sorted(names, key=natural_key) == sorted(names, key=order_by_definition)


NAME = st.sampled_from("a A a1 a01 a2 a10 01 1 001 aé é a\1 a\3b a- ٣".split(" ")) | st.text(
    alphabet="aB012 .-é\1\n", min_size=1, max_size=5
).filter(lambda name: name.strip("."))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(NAME, min_size=1, max_size=3), min_size=1, max_size=12), NAME)
@example([["a", "1"], ["a b", "1"], ["a"], ["a.jpg", "1"], ["01", "b"], ["1", "a"]], "a c")
def test_any_tree_is_listed_in_natural_order(tree: list[list[str]], link: str) -> None:
    with TemporaryDirectory() as folder:
        root, outside = Path(folder, "root"), Path(folder, "outside")
        outside.mkdir()
        for name in ("10.jpg", "2.jpg"):
            (outside / name).touch()
        expected = set()
        for *folders, name in tree:
            parent = root.joinpath(*folders)
            # A name is a file's or a parent's: the first one in the tree keeps it.
            with suppress(FileExistsError, NotADirectoryError, IsADirectoryError):
                parent.mkdir(parents=True, exist_ok=True)
                (parent / f"{name}.jpg").touch()
                expected.add("/".join([*folders, f"{name}.jpg"]))
        with suppress(FileExistsError):
            (root / link).symlink_to(outside)
            expected |= {f"{link}/10.jpg", f"{link}/2.jpg"}
        visible = [key for key in expected if "/." not in f"/{key}"]
        assume(visible)
        found = find_images(root)
        assert [item.key for item in found.items] == sorted(visible, key=order_by_definition)
        assert all(item.path.is_file() for item in found.items)


# ---- what counts as an image, and its label ----


def test_labels_are_the_first_folder_below_the_root(make: Callable[..., Path]) -> None:
    root = make("rose/1.jpg", "rose/deep/er/2.jpg", "daisy 2/1.jpg", "daisy 10/1.jpg", "loose.jpg")
    found = find_images([root])
    assert {item.key: item.label for item in found.items} == {
        "daisy 2/1.jpg": "daisy 2",
        "daisy 10/1.jpg": "daisy 10",
        "loose.jpg": None,
        "rose/1.jpg": "rose",
        "rose/deep/er/2.jpg": "rose",
    }
    assert found.classes == ("daisy 2", "daisy 10", "rose")


def test_size_time_and_place_are_those_of_the_file(make: Callable[..., Path]) -> None:
    root = make("a/1.jpg")
    (root / "a/1.jpg").write_bytes(b"12345")
    os.utime(root / "a/1.jpg", ns=(1, 1_700_000_000_123_456_000))
    (item,) = find_images([root]).items
    assert (item.size, item.mtime_ns) == (5, 1_700_000_000_123_456_000)
    assert item.path == root / "a/1.jpg"


def test_what_many_items_have_in_common_is_kept_once(make: Callable[..., Path]) -> None:
    root = make("a/1.jpg", "a/deep/2.jpg", "a/deep/er/3.jpg", "b/4.jpg")
    for paths in (
        [root],
        [root / "a/1.jpg", root / "a/deep/2.jpg", root / "a/deep/er", root / "b"],
    ):
        items = find_images(paths).items
        assert {str(item.root) for item in items} == {str(root)}
        assert [item.label for item in items] == ["a", "a", "a", "b"]
        assert len({id(item.root) for item in items}) == 1
        assert len({id(item.label) for item in items}) == 2


def test_hidden_files_and_folders_and_other_endings_are_skipped(
    make: Callable[..., Path],
) -> None:
    root = make(
        "1.jpg",
        ".hidden.jpg",
        "._1.jpg",
        ".git/2.jpg",
        "a/._3.jpg",
        "notes.txt",
        "jpg",
        "a.jpg.bak",
    )
    assert keys_of(root) == ["1.jpg"]


def test_a_hidden_folder_that_is_named_is_read(make: Callable[..., Path]) -> None:
    root = make(".cache/1.jpg")
    assert keys_of(root / ".cache") == ["1.jpg"]


def test_endings_are_recognised_in_any_case(make: Callable[..., Path]) -> None:
    names = [f"{index}{suffix}" for index, suffix in enumerate(sorted(IMAGE_SUFFIXES))]
    names += ["90.JPG", "91.JpEg", "92.TIFF"]
    assert keys_of(make(*names)) == names


def test_a_folder_with_an_image_ending_is_a_folder(make: Callable[..., Path]) -> None:
    root = make("album.jpg/1.png")
    (item,) = find_images([root]).items
    assert (item.key, item.label) == ("album.jpg/1.png", "album.jpg")


@pytest.mark.parametrize(
    "name",
    [
        "new\nline.jpg",
        "\x1b[31mred.jpg",
        " lead and trail .jpg",
        "Blumen-äöü-花-🌼.jpg",
        "e\u0301.jpg",
        "semi;colon&quote'\".jpg",
        "back\\slash.jpg",
        "-rf.jpg",
        "per%cent {0}.jpg",
    ],
)
def test_any_name_is_kept_as_it_is(make: Callable[..., Path], name: str) -> None:
    root = make(f"{name}.d/{name}")
    (item,) = find_images([root]).items
    assert (item.key, item.label) == (f"{name}.d/{name}", f"{name}.d")
    assert item.path.read_bytes() == b"x"


def test_composed_and_decomposed_letters_stay_two_files(make: Callable[..., Path]) -> None:
    assert keys_of(make("\u00e9.jpg", "e\u0301.jpg")) == ["e\u0301.jpg", "\u00e9.jpg"]


@pytest.mark.skipif(sys.platform != "linux", reason="names that are not UTF-8 exist on Linux only")
def test_names_that_are_not_utf8_are_failures_and_their_neighbours_are_found(
    make: Callable[..., Path],
) -> None:
    root = make("1.jpg", "3.jpg")
    (Path(os.fsdecode(os.fsencode(root) + b"/2-\xff\xe9.jpg"))).write_bytes(b"x")
    folder = os.fsencode(root) + b"/dir-\xfe"
    os.mkdir(folder)
    Path(os.fsdecode(folder + b"/4.jpg")).write_bytes(b"x")
    found = find_images([root])
    assert [item.key for item in found.items] == ["1.jpg", "3.jpg"]
    assert [(failure.key, failure.reason) for failure in found.failures] == [
        (r"2-\xff\xe9.jpg", "its name is not valid UTF-8: rename it"),
        (r"dir-\xfe/4.jpg", "its name is not valid UTF-8: rename it"),
    ]
    assert all(failure.key.isprintable() for failure in found.failures)


# ---- links and special files ----


def test_a_link_to_a_folder_outside_is_followed_under_its_own_name(
    make: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "sub").mkdir()
    (outside / "sub" / "1.jpg").write_bytes(b"x")
    root = make("a/0.jpg")
    (root / "linked").symlink_to(outside)
    found = find_images([root])
    assert {item.key: item.label for item in found.items} == {
        "a/0.jpg": "a",
        "linked/sub/1.jpg": "linked",
    }


@pytest.mark.parametrize("link", ["a/first", "zlast", "Alink"])
def test_a_folder_that_is_also_linked_appears_once_under_its_own_name(
    make: Callable[..., Path], link: str
) -> None:
    root = make("a/x/1.jpg", "m/y/2.jpg")
    (root / link).symlink_to(root / "m")
    assert keys_of(root) == ["a/x/1.jpg", "m/y/2.jpg"]


def test_of_two_links_to_one_folder_the_first_by_name_counts(
    make: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "1.jpg").write_bytes(b"x")
    root = make("0.jpg")
    for name in ("zeta", "beta", "omega"):
        (root / name).symlink_to(outside)
    assert keys_of(root) == ["0.jpg", "beta/1.jpg"]


def test_of_links_in_two_folders_the_one_in_the_first_folder_counts(
    make: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "1.jpg").write_bytes(b"x")
    root = make("c/0.jpg", "a/0.jpg", "b/0.jpg")
    for name in ("c", "b", "a"):
        (root / name / "more").symlink_to(outside)
    assert keys_of(root) == ["a/0.jpg", "a/more/1.jpg", "b/0.jpg", "c/0.jpg"]


def test_cycles_of_links_end(make: Callable[..., Path]) -> None:
    root = make("a/1.jpg", "b/2.jpg")
    (root / "a" / "up").symlink_to(root)
    (root / "a" / "over").symlink_to(root / "b")
    (root / "b" / "over").symlink_to(root / "a")
    (root / "b" / "self").symlink_to(".")
    found = find_images([root])
    assert [item.key for item in found.items] == ["a/1.jpg", "b/2.jpg"]
    assert found.failures == ()


def test_a_link_as_the_root_keeps_its_own_name(make: Callable[..., Path]) -> None:
    root = make("real/rose/1.jpg")
    (root / "link").symlink_to(root / "real")
    found = find_images([root / "link"])
    assert found.root.path == root / "link"
    assert [(item.key, item.label) for item in found.items] == [("rose/1.jpg", "rose")]


def test_links_to_files_are_images_of_their_own(make: Callable[..., Path]) -> None:
    root = make("1.jpg")
    (root / "2.jpg").symlink_to("1.jpg")
    assert keys_of(root) == ["1.jpg", "2.jpg"]


def test_a_broken_link_is_a_failure(make: Callable[..., Path]) -> None:
    root = make("1.jpg")
    (root / "0.jpg").symlink_to("gone.jpg")
    (root / "notes").symlink_to("gone")
    found = find_images([root])
    assert [item.key for item in found.items] == ["1.jpg"]
    assert [(f.key, f.reason) for f in found.failures] == [("0.jpg", "No such file or directory")]
    assert (found.failures[0].size, found.failures[0].mtime_ns) == (-1, -1)


def test_a_link_to_itself_costs_only_itself(make: Callable[..., Path]) -> None:
    root = make("a.jpg", "sub/b.jpg", "z.jpg")
    (root / "loop.jpg").symlink_to("loop.jpg")
    found = find_images([root])
    assert [item.key for item in found.items] == ["a.jpg", "sub/b.jpg", "z.jpg"]
    assert [(f.key, f.reason) for f in found.failures] == [
        ("loop.jpg", "Too many levels of symbolic links")
    ]


def test_a_folder_that_cannot_be_listed_is_a_failure_among_its_neighbours(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make("a/1.jpg", "locked/2.jpg", "z/3.jpg")
    scandir = os.scandir

    def refuse(path: str | Path) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # Tests may run as root, who may read all.
    found = find_images([root])
    assert [item.key for item in found.items] == ["a/1.jpg", "z/3.jpg"]
    assert [(f.key, f.reason) for f in found.failures] == [("locked", "Permission denied")]


def test_a_folder_whose_listing_breaks_off_is_a_failure_as_a_whole(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make("a/1.jpg", "broken/2.jpg", "broken/deep/3.jpg", "z/4.jpg")
    scandir = os.scandir

    @contextmanager
    def break_off(path: str | Path) -> Iterator[Iterator[os.DirEntry[str]]]:
        def entries() -> Iterator[os.DirEntry[str]]:
            yield from listing
            if str(path).endswith("broken"):
                raise OSError(5, "Input/output error", str(path))

        with scandir(path) as listing:
            yield entries()

    monkeypatch.setattr(os, "scandir", break_off)
    found = find_images([root])
    assert [item.key for item in found.items] == ["a/1.jpg", "z/4.jpg"]
    assert [(f.key, f.reason) for f in found.failures] == [("broken", "Input/output error")]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX")
@pytest.mark.parametrize("explicit", [False, True])
def test_a_named_pipe_is_a_failure_and_is_not_waited_for(
    make: Callable[..., Path], explicit: bool
) -> None:
    root = make("1.jpg")
    os.mkfifo(root / "pipe.jpg")
    # In another process with a time limit: a hang must fail the test, not stop the suite.
    script = (
        "import sys; from featx.images.sources import find_images\n"
        "found = find_images(sys.argv[1:])\n"
        "print([i.key for i in found.items], [(f.key, f.reason) for f in found.failures])"
    )
    paths = [root / "1.jpg", root / "pipe.jpg"] if explicit else [root]
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert done.stdout == "['1.jpg'] [('pipe.jpg', 'not a regular file')]\n"


# ---- several paths ----


def test_several_paths_share_their_closest_common_folder(make: Callable[..., Path]) -> None:
    root = make("set/rose/1.jpg", "set/daisy/deep/2.jpg", "set/lily/3.jpg", "other/4.jpg")
    found = find_images([root / "set/rose", root / "set/daisy/deep/2.jpg"])
    assert found.root.path == root / "set"
    assert [(item.key, item.label) for item in found.items] == [
        ("daisy/deep/2.jpg", "daisy"),
        ("rose/1.jpg", "rose"),
    ]


def test_files_of_one_folder_have_no_label(make: Callable[..., Path]) -> None:
    root = make("daisy/1.jpg", "daisy/2.jpg", "daisy/3.jpg")
    found = find_images([root / "daisy/2.jpg", root / "daisy/1.jpg"])
    assert found.root.path == root / "daisy"
    assert [(item.key, item.label) for item in found.items] == [("1.jpg", None), ("2.jpg", None)]
    assert found.classes == ()


def test_a_single_file_lies_in_its_folder(make: Callable[..., Path]) -> None:
    root = make("rose/1.jpg", "rose/2.jpg")
    found = find_images([root / "rose/1.jpg"])
    assert found.root.path == root / "rose"
    assert [(item.key, item.label) for item in found.items] == [("1.jpg", None)]


@pytest.mark.parametrize("name", ["scan.dat", "noending", ".hidden.jpg", "photo.JPG~"])
def test_a_file_that_is_named_is_taken_whatever_its_name(
    make: Callable[..., Path], name: str
) -> None:
    root = make(name)
    assert keys_of(root / name) == [name]


def test_what_is_given_twice_is_found_once(make: Callable[..., Path]) -> None:
    root = make("a/1.jpg", "a/2.jpg", "b/3.jpg")
    paths: list[str | Path] = [
        root,
        root / "a",
        root / "a/1.jpg",
        root,
        str(root / "b") + "/",
        root / "a/../b",
    ]
    assert keys_of(*paths) == ["a/1.jpg", "a/2.jpg", "b/3.jpg"]


def test_relative_paths_are_taken_from_the_current_folder(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make("set/rose/1.jpg")
    monkeypatch.chdir(root / "set")
    for path in (".", "./", "rose/.."):
        found = find_images([path])
        assert (found.root.path, [item.key for item in found.items]) == (
            root / "set",
            ["rose/1.jpg"],
        )


def test_every_path_is_the_root_and_the_key(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make("set/rose/1.jpg", "set/daisy/2.dat", "other/3.jpg", "4.jpg")
    (root / "set/link").symlink_to(root / "other")
    (root / "set/link.jpg").symlink_to(root / "4.jpg")
    monkeypatch.chdir(root / "other")
    for paths in (
        ["../set/rose/1.jpg"],
        ["../set/link/3.jpg", "../set/daisy/2.dat"],
        ["../set", root / "set/link", root / "set/daisy/../link.jpg"],
        ["../set/link", "."],
        [f"/{root}/set/rose", f"//{root}/4.jpg"],  # Two slashes are one, except to os.path.
        ["/proc/self/cwd/3.jpg", "3.jpg"] if sys.platform == "linux" else ["3.jpg"],
    ):
        found = find_images(paths)
        assert found.items
        assert found.failures == ()
        for item in found.items:
            assert item.path == found.root.path / item.key == Path(item.location)
            assert item.path.stat().st_size == item.size == 1


# ---- nothing found ----


def test_a_missing_path_is_named_with_the_current_folder(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make("1.jpg")
    monkeypatch.chdir(root)
    with pytest.raises(ImagesNotFound) as caught:
        find_images(["1.jpg", "no/such"])
    assert str(caught.value) == (
        f"There is no file or folder 'no/such'. featx looked from the folder {str(root)!r}."
    )
    assert isinstance(caught.value, FileNotFoundError)


def test_all_missing_paths_are_named_at_once(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make("1.jpg")
    monkeypatch.chdir(root)
    with pytest.raises(ImagesNotFound) as caught:
        find_images(["no/such", "1.jpg", "*.gif", "nor/this", "*.png"])
    assert str(caught.value) == (
        "There is no file or folder 'no/such' or 'nor/this'. Nothing matches '*.gif' or '*.png'. "
        f"featx looked from the folder {str(root)!r}."
    )


def test_a_folder_without_images_is_named_with_the_endings(make: Callable[..., Path]) -> None:
    root = make("notes.txt", ".hidden.jpg")
    with pytest.raises(ImagesNotFound, match=r"There are no images in .*\.jpg .*\.webp") as caught:
        find_images([root])
    assert repr(str(root)) in str(caught.value)


def test_a_glob_that_matches_no_image_says_what_it_looked_for(make: Callable[..., Path]) -> None:
    root = make("notes.txt")
    with pytest.raises(ImagesNotFound, match=r"There are no images in .*\*\.txt'.*\.jpg"):
        find_images([root / "*.txt"])


def test_only_failures_are_not_nothing(make: Callable[..., Path]) -> None:
    root = make("notes.txt")
    (root / "gone.jpg").symlink_to("nowhere")
    found = find_images([root])
    assert (found.items, [failure.key for failure in found.failures]) == ((), ["gone.jpg"])


def test_no_paths_at_all_is_refused() -> None:
    with pytest.raises(ImagesNotFound, match="Name at least one folder or file"):
        find_images([])


def test_an_empty_folder_beside_a_full_one_does_not_matter(make: Callable[..., Path]) -> None:
    root = make("full/1.jpg")
    (root / "empty").mkdir()
    assert keys_of(root / "full", root / "empty") == ["full/1.jpg"]


# ---- what is not read is said ----


def test_pictures_that_are_not_read_are_counted(make: Callable[..., Path]) -> None:
    root = make(
        "1.jpg", "a/1.NEF", "a/2.nef", "3.dng", "4.jxl", "5.ICO", "6.txt", ".7.nef", "8.fit"
    )
    (note,) = find_images([root]).notes
    assert note.startswith(f"In {str(root)!r}, pictures in formats that featx does not read: ")
    assert "2 .nef, 1 .dng, 1 .fit, 1 .ico, 1 .jxl. To use them, develop raw files first" in note
    assert note.endswith("convert JPEG XL (djxl A.jxl A.png); convert .fit and .ico to PNG.")


def test_a_folder_of_pictures_that_are_not_read_alone(make: Callable[..., Path]) -> None:
    root = make("1.cr2", "2.arw")
    with pytest.raises(ImagesNotFound, match=r"only pictures .*: 1 \.arw, 1 \.cr2\. To"):
        find_images([root])


def test_thumbnails_of_network_storage_are_skipped(make: Callable[..., Path]) -> None:
    root = make("a/1.jpg", "a/@eaDir/1.jpg/THUMB_XL.jpg", "@EADIR/2.jpg", "@__thumb/3.jpg")
    found = find_images([root])
    assert [item.key for item in found.items] == ["a/1.jpg"]
    assert [item.key for item in find_images([root / "@EADIR"]).items] == ["2.jpg"]


def test_links_that_lead_elsewhere_are_said(make: Callable[..., Path]) -> None:
    root, outside = make("photos/a/1.jpg", "outside/2.jpg") / "photos", make() / "outside"
    (root / "more").symlink_to(outside)
    (root / "again").symlink_to(root / "a")
    (note,) = find_images([root]).notes
    assert note == (
        f"1 link leads to a folder elsewhere, which is read too: 'more' to {str(outside)!r} "
        "(exclude= leaves it out)"
    )
    assert find_images([root], exclude=["more"]).notes == ()


def test_pictures_that_are_not_read_are_counted_where_a_glob_finds_them(
    make: Callable[..., Path],
) -> None:
    root = make("1.jpg", "2.nef", "3.NEF", "4.txt")
    found = find_images([f"{root}/*"])
    assert [item.key for item in found.items] == ["1.jpg"]
    (note,) = found.notes
    assert note.startswith(f"In '{root}/*', pictures in formats that featx does not read: 2 .nef. ")
    with pytest.raises(ImagesNotFound, match=r"there are only pictures .* 1 \.nef\. To use them"):
        find_images([f"{root}/*.nef"])
