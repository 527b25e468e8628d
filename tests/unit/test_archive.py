"""Archives made to break out, blow up or confuse: refused with a sentence, and nothing is written outside."""

import errno
import gzip
import io
import os
import random
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common import archive
from common.archive import DEFAULT_LIMITS, Limits
from common.errors import BadInputError

Entry = tuple[str, bytes, str, bytes]  # name, tarfile's type, link target, content


def tar_gz(entries: Sequence[Entry], *, form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar.gz of entries as they are given, whatever they say."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as made:
        for name, kind, link, content in entries:
            made.addfile(member(name, kind, link, content), io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), 1, mtime=0)


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", content: bytes = b"") -> tarfile.TarInfo:
    """One entry's header."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(content)
    return info


def file(name: str, content: bytes = b"x") -> Entry:
    """A regular file."""
    return (name, tarfile.REGTYPE, "", content)


def directory(name: str) -> Entry:
    """A directory."""
    return (name, tarfile.DIRTYPE, "", b"")


def link(name: str, target: str) -> Entry:
    """A symbolic link."""
    return (name, tarfile.SYMTYPE, target, b"")


def raw(*blocks: bytes) -> bytes:
    """A tar.gz out of raw tar blocks, each padded to 512 bytes, with the end of the archive."""
    padded = b"".join(block + bytes(-len(block) % 512) for block in blocks)
    return gzip.compress(padded + bytes(10240), mtime=0)


def header(name: str, kind: bytes, size: int) -> bytes:
    """One raw header that announces any size."""
    info = member(name, kind)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def refusal(data: bytes, target: Path, limits: Limits = DEFAULT_LIMITS) -> str:
    """Why it is refused: by the pass over the names and by unpacking alike."""
    with pytest.raises(BadInputError) as by_check:
        archive.check(data, limits)
    with pytest.raises(BadInputError) as by_unpack:
        archive.unpack(data, target, limits)
    assert by_check.value.field == by_unpack.value.field == "configuration"
    assert str(by_check.value) == str(by_unpack.value)
    return by_check.value.problem


HOSTILE: dict[str, tuple[Sequence[Entry], str]] = {
    "absolute": ([file("/etc/passwd")], "absolute path"),
    "absolute-directory": ([directory("/etc")], "absolute path"),
    "dots": ([file("a/../../b")], "'..'"),
    "dots-at-the-end": ([directory("a/..")], "'..'"),
    "hard-link": ([file("a"), ("b", tarfile.LNKTYPE, "a", b"")], "neither a file"),
    "device": ([("b", tarfile.BLKTYPE, "", b"")], "neither a file"),
    "character-device": ([("b", tarfile.CHRTYPE, "", b"")], "neither a file"),
    "fifo": ([("b", tarfile.FIFOTYPE, "", b"")], "neither a file"),
    "unknown-kind": ([("b", b"Z", "", b"")], "neither a file"),
    "link-out": ([link("l", "..")], "leads outside"),
    "link-out-from-below": ([link("a/l", "../..")], "leads outside"),
    "link-absolute": ([link("l", "/etc")], "leads outside"),
    "link-empty": ([link("l", "")], "leads outside"),
    "link-climbs-behind-a-name": ([directory("d"), link("e", "d/l/..")], "leads outside"),
    "chain-of-links": ([directory("a/b"), link("a/b/l", "../.."), link("e", "a/b/l/../..")], "leads outside"),
    "link-target-too-long": ([link("l", "a/" * 600)], "too long"),
    "root-as-a-link": ([link(".", "a")], "something else than a directory"),
    "root-as-a-file": ([file("./")], "something else than a directory"),
    "file-below-a-link": ([directory("d"), link("l", "d"), file("l/a")], "is a file or a link"),
    "link-below-a-link": ([link("l", "."), link("l/m", "a")], "is a file or a link"),
    "file-below-a-file": ([file("a"), file("a/b")], "is a file or a link"),
    "file-twice": ([file("a"), file("./a")], "twice"),
    "link-over-a-file": ([file("a"), link("a", "b")], "twice"),
    "file-over-a-link": ([link("a", "b"), file("a")], "twice"),
    "file-over-a-directory": ([directory("a"), file("a")], "twice"),
    "file-over-an-implied-directory": ([file("a/b"), file("a")], "twice"),
    "directory-over-a-file": ([file("a"), directory("a")], "is a file or a link"),
    "directory-over-a-link": ([link("a", "b"), directory("a")], "is a file or a link"),
    "name-too-long": ([file("n" * 256)], "more than 255 bytes"),
    "name-too-long-in-bytes": ([file("ü" * 128)], "more than 255 bytes"),
    "path-too-long": ([file("p/" * 512 + "f")], "too long"),
    "directories-only": ([directory("a")], "holds no file"),
    "nothing": ([], "holds no file"),
}


@pytest.mark.parametrize(("entries", "why"), HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
def test_a_hostile_archive_is_refused(entries: Sequence[Entry], why: str, form: int, tmp_path: Path) -> None:
    """Each trick gets its own sentence, at upload already, and leaves nothing outside."""
    target = tmp_path / "target"
    target.mkdir()
    assert why in refusal(tar_gz(entries, form=form), target)
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


@pytest.mark.parametrize("field", ["path", "linkpath"])
def test_a_nul_in_a_record_is_refused(field: str, tmp_path: Path) -> None:
    """PAX records can hold what no file system takes."""
    info = member("a", tarfile.SYMTYPE, "b")
    info.pax_headers = {field: "x\0y"}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as made:
        made.addfile(info)
    assert "NUL" in refusal(gzip.compress(buffer.getvalue()), tmp_path)


@pytest.mark.parametrize(
    ("entries", "limits", "why"),
    [
        ([file("a"), file("b"), file("c")], Limits(entries=2), "more than 2 entries"),
        ([file("a/b/c")], Limits(entries=2), "more than 2 entries"),
        ([file("a", bytes(11))], Limits(unpacked_bytes=10), "more than 10 bytes"),
        ([file("a", bytes(6)), file("b", bytes(6))], Limits(unpacked_bytes=10), "more than 10 bytes"),
        ([file("a", bytes(100_000))], Limits(ratio_free_bytes=1000, ratio=20), "20 times its size"),
        ([file("abcd")], Limits(name_bytes=3), "more than 3 bytes"),
        ([file("a/b/c")], Limits(path_bytes=4), "too long"),
    ],
)
def test_every_limit_holds(entries: Sequence[Entry], limits: Limits, why: str, tmp_path: Path) -> None:
    """Entries (implied directories included), bytes, ratio, names and paths."""
    assert why in refusal(tar_gz(entries), tmp_path, limits)


def test_what_compresses_well_but_is_small_is_taken(tmp_path: Path) -> None:
    """The ratio counts only above the bytes that are free of it."""
    assert archive.unpack(tar_gz([file("a", bytes(100_000))]), tmp_path) == 1


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_header_cannot_make_the_reader_swallow_a_bomb(kind: bytes, tmp_path: Path) -> None:
    """A name or a record of 64 MB would be read into memory whole: it is refused after some kilobytes."""
    size = 64 * 1024**2
    assert "more headers or padding" in refusal(
        raw(header("h", kind, size), bytes(size), header("a", b"0", 0)), tmp_path
    )


def test_a_long_chain_of_headers_is_refused(tmp_path: Path) -> None:
    """Headers that only announce the next header nest in the reader."""
    chain = [block for _ in range(3000) for block in (header("h", tarfile.GNUTYPE_LONGNAME, 2), b"n\0")]
    assert refusal(raw(*chain, header("a", b"0", 0)), tmp_path)


def test_sparse_files_are_refused(tmp_path: Path) -> None:
    """A few bytes would become a file of any size; and their maps are read into memory."""
    old = header("a", tarfile.GNUTYPE_SPARSE, 0)
    assert "neither a file" in refusal(raw(old), tmp_path)
    for records in (
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "1000"},
        {"GNU.sparse.map": "0,1", "GNU.sparse.size": "1000"},
        {"GNU.sparse.size": "1000", "GNU.sparse.numblocks": "1", "GNU.sparse.map": "x"},
    ):
        info = member("a", content=b"1\n0\n1\n" + bytes(506))
        info.pax_headers = records
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as made:
            made.addfile(info, io.BytesIO(b"1\n0\n1\n" + bytes(506)))
        assert refusal(gzip.compress(buffer.getvalue()), tmp_path)


def test_a_sparse_map_without_an_end_is_refused(tmp_path: Path) -> None:
    """The map of a sparse file is read until it is complete: its length is bounded too."""
    info = member("a")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    blocks = info.tobuf(tarfile.PAX_FORMAT)
    assert "more headers or padding" in refusal(raw(blocks, b"9999999\n" + b"1\n" * 4_000_000), tmp_path)


def test_a_bomb_behind_the_end_is_refused(tmp_path: Path) -> None:
    """Behind the end there is padding, and not more of it than any writer makes."""
    good = gzip.decompress(tar_gz([file("a")]))
    assert archive.unpack(gzip.compress(good + bytes(500_000)), tmp_path) == 1
    bomb = gzip.compress(good + bytes(8 * 1024**2))
    with pytest.raises(BadInputError, match="more headers or padding"):
        archive.check(bomb)


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"PK\3\4" + bytes(100), gzip.compress(b""), gzip.compress(b"no tar" * 200), gzip.compress(bytes(100))],
    # named: what gzip compresses bears the time, and every process must collect the same tests
    ids=["empty", "text", "zip", "empty gzip", "gzip of text", "gzip of nothing"],
)
def test_what_is_no_tar_gz_is_refused(data: bytes, tmp_path: Path) -> None:
    """Empty, text, a zip, an empty gzip, gzip of something else."""
    assert refusal(data, tmp_path)


def test_an_archive_cut_anywhere_is_refused() -> None:
    """At every byte: the upload broke off, and the answer says so."""
    whole = tar_gz([file("main.tf", b"resource {}\n"), directory("modules"), link("modules/l", "../main.tf")])
    assert archive.check(whole) == 3
    for length in range(len(whole)):
        with pytest.raises(BadInputError):
            archive.check(whole[:length])


def test_a_flipped_bit_never_surprises() -> None:
    """Damage is either noticed as bad input or did no harm; no other error comes out."""
    whole = bytearray(tar_gz([file("main.tf", b"resource {}\n" * 30), link("l", "main.tf")], form=tarfile.GNU_FORMAT))
    plain = bytearray(gzip.decompress(bytes(whole)))
    seed = random.Random(7)
    for _ in range(1500):
        damaged = bytearray(plain)
        damaged[seed.randrange(2600)] ^= 1 << seed.randrange(8)
        for data in (gzip.compress(bytes(damaged), 1), flipped(bytes(whole), seed)):
            try:
                archive.check(data)
            except BadInputError:
                pass


def flipped(data: bytes, seed: random.Random) -> bytes:
    """The bytes with one bit of them flipped."""
    place = seed.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << seed.randrange(8)]) + data[place + 1 :]


def test_a_header_with_a_negative_size_is_refused(tmp_path: Path) -> None:
    """It would send the reader backwards, round and round."""
    block = bytearray(header("a", b"0", 0))
    block[124:136] = (-(1024)).to_bytes(12, "big", signed=True)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    assert refusal(raw(bytes(block)), tmp_path)


NAMES = st.sampled_from(["a", "b", "d", "d/a", "d/e", "d/e/f", ".", "./a", "l", "l/a", "..", "../x", "/x", "a/l"])
TARGETS = st.sampled_from(["a", ".", "..", "../..", "d", "d/..", "d/l/..", "l", "../l", "/", "../outside", ""])
KINDS = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE])
ENTRIES = st.lists(st.tuples(NAMES, KINDS, TARGETS, st.just(b"")), max_size=8)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(entries=ENTRIES)
def test_nothing_outside_ever_changes(entries: list[Entry], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever the members are: what check accepts is unpacked, and everything reachable from inside is inside."""
    base = tmp_path_factory.mktemp("outside")
    (base / "outside").mkdir()
    target = base / "target"
    target.mkdir()
    data = tar_gz(entries)
    accepted = True
    try:
        archive.check(data)
    except BadInputError:
        accepted = False
    try:
        archive.unpack(data, target)
    except BadInputError:
        assert not accepted
    assert sorted(path.name for path in base.iterdir()) == ["outside", "target"]
    assert not list((base / "outside").iterdir())
    for folder, folders, files in os.walk(target):
        for name in (*folders, *files):
            assert Path(os.path.realpath(Path(folder, name))).is_relative_to(target)  # resolve() minds loops


TREES = st.dictionaries(
    st.sampled_from(["main.tf", "a b.tf", "ü.tf", "modules/x/main.tf", "modules/y.tf", "deep/er/f", "x" * 200]),
    st.binary(max_size=3000),
    min_size=1,
)


@settings(max_examples=50, deadline=None)
@given(tree=TREES)
def test_what_was_packed_comes_out_again(tree: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Contents, names and the bit for executing; and packing twice gives the same bytes."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
    for name, content in tree.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
        (source / name).chmod(0o755 if len(content) % 2 else 0o600)
    packed = archive.pack(source, sorted(tree, reverse=True))
    assert packed == archive.pack(source, tree)
    assert archive.unpack(packed, target) == len(tree)
    found = {str(path.relative_to(target)): path for path in target.rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in found.items()} == tree
    assert all(bool(found[name].stat().st_mode & 0o100) == bool(len(content) % 2) for name, content in tree.items())


def test_links_and_directories_come_out_again(tmp_path: Path) -> None:
    """Links that stay inside are kept as links."""
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "modules/x").mkdir(parents=True)
    target.mkdir()
    (source / "main.tf").write_text("")
    (source / "modules/x/up").symlink_to("../../main.tf")
    (source / "here").symlink_to("modules/./x")
    archive.unpack(archive.pack(source, ["modules", "modules/x", "modules/x/up", "here", "main.tf", "."]), target)
    assert (target / "modules/x/up").readlink() == Path("../../main.tf")
    assert (target / "here").is_dir()


def test_what_stands_in_the_target_is_not_written_through(tmp_path: Path) -> None:
    """A link or file that is in the target already is refused, not followed and not overwritten."""
    target, outside = tmp_path / "target", tmp_path / "outside"
    target.mkdir()
    outside.mkdir()
    (target / "d").symlink_to(outside)
    (target / "f").write_text("kept")
    with pytest.raises(BadInputError, match="writes below 'd'"):
        archive.unpack(tar_gz([file("d/a")]), target)
    with pytest.raises(BadInputError, match="already"):
        archive.unpack(tar_gz([file("f")]), target)
    assert not list(outside.iterdir())
    assert (target / "f").read_text() == "kept"


def test_the_disks_trouble_is_not_the_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is an error of the system, with its number, and no bad input."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "symlink", full)
    with pytest.raises(OSError, match="No space left"):
        archive.unpack(tar_gz([link("l", "a"), file("a")]), tmp_path)


def test_packing_ends_at_a_size(tmp_path: Path) -> None:
    """What does not fit is refused while it is packed, not afterwards."""
    (tmp_path / "random").write_bytes(os.urandom(100_000))
    assert archive.pack(tmp_path, ["random"], 200_000) == archive.pack(tmp_path, ["random"])
    with pytest.raises(BadInputError, match="more than 50000 bytes"):
        archive.pack(tmp_path, ["random"], 50_000)
