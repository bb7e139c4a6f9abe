"""Archives become folders, and nothing of them comes to lie outside: what attackers pack, and what desktops do."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lorasmith.core.errors import DataProblem, EnvironmentProblem
from lorasmith.studio import members, unpacking
from lorasmith.studio.members import archive_kind
from lorasmith.studio.unpacking import folder_for, stem, unpack

MOST = 10**9
ROWS = b'{"question": "1 + 1?", "answer": "2"}\n'
PETS = {"pets/metadata.jsonl": ROWS, "pets/cats/a.png": b"cat", "pets/dogs/b.png": b"dog"}


def zipped(file: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(file, "w", method) as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return file


def tarred(file: Path, files: dict[str, bytes], mode: Any = "w") -> Path:
    with tarfile.open(file, mode, format=tarfile.PAX_FORMAT) as packed:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
    return file


PACKED: dict[str, Callable[[Path, dict[str, bytes]], Path]] = {
    "a.zip": zipped, "a.tar": tarred, "a.tar.gz": lambda file, files: tarred(file, files, "w:gz"),
    "a.tgz": lambda file, files: tarred(file, files, "w:gz"), "stored.zip": lambda file, files: zipped(file, files, 0),
    "named-wrong.bin": zipped,
}  # fmt: skip


def found(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def refused(archive: Path, most: int = MOST) -> str:
    """What is said, once it is sure that nothing was left anywhere."""
    before = sorted(archive.parents[1].rglob("*"))
    with pytest.raises(DataProblem) as caught:
        unpack(archive, folder_for(archive), most)
    assert sorted(archive.parents[1].rglob("*")) == before
    assert caught.value.fix or "damaged" in caught.value.what
    return str(caught.value)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where an upload lies, two folders deep, so that what climbs out is seen."""
    (tmp_path / "datasets" / "1").mkdir(parents=True)
    return tmp_path / "datasets" / "1"


@pytest.mark.parametrize("name", PACKED)
def test_what_was_packed_is_there(place: Path, name: str) -> None:
    """STU-11, DAT-1: without the one folder that everything lies in; told by content, not by the ending."""
    archive = PACKED[name](place / name, PETS)
    assert archive_kind(archive) in ("zip", "tar")
    assert unpack(archive, folder_for(archive), MOST) == sum(map(len, PETS.values()))
    assert found(folder_for(archive)) == {path.removeprefix("pets/"): data for path, data in PETS.items()}
    assert not [one for one in place.iterdir() if one.name.startswith(".")]


def test_several_folders_stay_and_litter_goes(place: Path) -> None:
    """STU-11: classes are folders; what desktops add is left out; an archive in an archive stays as it is."""
    inner = zipped(place / "inner.zip", {"x.txt": b"x"}).read_bytes()
    litter = {"__MACOSX/cats/a.png": b"1", "cats/.DS_Store": b"1", "cats/._a.png": b"1", "dogs/Thumbs.db": b"1"}
    archive = zipped(place / "a.zip", {"cats/a.png": b"cat", "dogs/b.png": b"dog", "dogs/inner.zip": inner, **litter})
    unpack(archive, folder_for(archive), MOST)
    assert found(folder_for(archive)) == {"cats/a.png": b"cat", "dogs/b.png": b"dog", "dogs/inner.zip": inner}


def test_a_folder_in_a_folder_of_its_name(place: Path) -> None:
    """STU-11: only one folder is taken away, also where its content is called as it is."""
    archive = tarred(place / "pets.tar", {"./pets/pets/a.png": b"cat"})
    unpack(archive, folder_for(archive), MOST)
    assert found(place / "pets") == {"pets/a.png": b"cat"}


OUTSIDE = [
    "../evil.png", "a/../../evil.png", "/evil.png", "//evil.png", "..", "a/..", "C:/evil.png", "c:evil.png", "..\\evil.png",
    "a\\b.png", "a\nb.png", "a\x1b[31m.png", "a\u202egnp.exe", "a\u200b.png", "．．/evil.png", "‥/evil.png", "a／..／evil.png", "a＼b.png",
    "Ｃ：/evil.png", "a\u2028b.png", "x" * 256, "ж" * 128, "/".join(["abcdefgh"] * 200), "/".join("a" * 40),
]  # fmt: skip


@pytest.mark.parametrize("pack", [zipped, tarred], ids=["zip", "tar"])
@pytest.mark.parametrize("name", OUTSIDE, ids=lambda name: ascii(name)[:30])
def test_a_name_that_no_file_should_have_is_refused(place: Path, pack: Any, name: str) -> None:
    """SEC-1: also one that only looks like a way out, and whatever stands before it."""
    said = refused(pack(place / "a.bin", {"good.txt": b"good", name: b"evil"}))
    assert "no name for a file" in said
    assert all(sign.isprintable() or sign == "\n" for sign in said)


@pytest.mark.parametrize(
    "name", ["Screenshot at 10.00\u202fAM.png", "счёт 1.png", "猫.png", "12:30.png", "e\u0301.png", "~a.png", "-rf"]
)
def test_names_of_every_script_are_kept(place: Path, name: str) -> None:
    """SEC-1: rows name files as they are called."""
    for archive in (zipped(place / "a.zip", {name: b"1"}), tarred(place / "b.tar", {name: b"1"})):
        unpack(archive, folder_for(archive), MOST)
        assert found(folder_for(archive)) == {name: b"1"}


def test_a_zero_byte_ends_no_name(place: Path) -> None:
    """SEC-1: a name that reads `evil.png` to some and `evil.png\\0.txt` to others."""
    archive = zipped(place / "a.zip", {"evil.png_.txt": b"evil"})
    archive.write_bytes(archive.read_bytes().replace(b"evil.png_", b"evil.png\0"))
    assert "no name for a file" in refused(archive)
    with tarfile.open(place / "b.tar", "w", format=tarfile.PAX_FORMAT) as packed:
        info = tarfile.TarInfo("a.png")
        info.pax_headers = {"path": "evil.png\0.txt"}
        packed.addfile(info)
    assert "no name for a file" in refused(place / "b.tar")


def test_bytes_that_are_no_text_are_no_name(place: Path) -> None:
    """SEC-1"""
    with tarfile.open(place / "a.tar", "w", format=tarfile.GNU_FORMAT, encoding="utf-8") as packed:
        packed.addfile(tarfile.TarInfo("\udcff.png"))
    assert "no name for a file" in refused(place / "a.tar")


@pytest.mark.parametrize("kind", ["SYMTYPE", "LNKTYPE", "CHRTYPE", "BLKTYPE", "FIFOTYPE", "GNUTYPE_SPARSE"])
def test_only_files_and_folders_come_out_of_a_tar(place: Path, kind: str) -> None:
    """SEC-1: no link, not even one to a neighbour, no device, no file with holes; and nothing is written through a link."""
    with tarfile.open(place / "a.tar", "w") as packed:
        info = tarfile.TarInfo("way")
        info.type, info.linkname = getattr(tarfile, kind), "../../.."
        packed.addfile(info)
        behind = tarfile.TarInfo("way/evil.png")
        behind.size = 4
        packed.addfile(behind, io.BytesIO(b"evil"))
    assert "neither a file nor a folder" in refused(place / "a.tar")


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_only_files_and_folders_come_out_of_a_zip(place: Path, mode: int) -> None:
    """SEC-1"""
    with zipfile.ZipFile(place / "a.zip", "w") as packed:
        info = zipfile.ZipInfo("way")
        info.external_attr = (mode | 0o777) << 16
        packed.writestr(info, "../../..")
        packed.writestr("way/evil.png", "evil")
    assert "neither a file nor a folder" in refused(place / "a.zip")


@pytest.mark.parametrize("names", [("a.txt", "a.txt"), ("a", "a/b.txt"), ("a/b.txt", "a"), ("a/./b.txt", "a//b.txt")])
def test_nothing_is_written_twice(place: Path, names: tuple[str, str]) -> None:
    """SEC-1: whoever looks at one of two files of a name may get the other."""
    with zipfile.ZipFile(place / "a.zip", "w") as packed, warnings.catch_warnings(action="ignore"):
        for name in names:
            packed.writestr(name, name)
    assert "twice" in refused(place / "a.zip")


def test_rights_and_owners_of_an_archive_are_not_taken_over(place: Path) -> None:
    """SEC-1"""
    with tarfile.open(place / "a.tar", "w") as packed:
        info = tarfile.TarInfo("a.sh")
        info.mode, info.uid, info.mtime = 0o6777, 12345, 1
        packed.addfile(info)
    unpack(place / "a.tar", place / "a", MOST)
    made = (place / "a" / "a.sh").stat()
    assert made.st_mode & 0o7111 == 0
    assert made.st_uid != 12345
    assert made.st_mtime > 1


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_a_bomb_ends_where_it_has_grown_too_large(place: Path, name: str) -> None:
    """SEC-4: told while it is written."""
    assert "500 times its size" in refused(PACKED[name](place / name, {"a.txt": bytes(100 * 2**20)}))


def test_many_names_for_one_content_are_a_bomb(place: Path) -> None:
    """SEC-4: a hundred entries that say where the same bytes lie."""
    archive = zipped(place / "a.zip", {f"{number:03}.txt": b"" for number in range(100)} | {"x.txt": bytes(2 * 2**20)})
    with zipfile.ZipFile(archive) as packed:
        last = packed.infolist()[-1]
    data = bytearray(archive.read_bytes())
    at = data.index(b"PK\x01\x02")
    for _ in range(100):
        lengths = struct.unpack_from("<HHH", data, at + 28)
        struct.pack_into("<HHLLL", data, at + 8, last.flag_bits, 8, 0, 0, last.CRC)
        data[at + 10 : at + 12] = struct.pack("<H", 8)
        struct.pack_into("<LLL", data, at + 16, last.CRC, last.compress_size, last.file_size)
        struct.pack_into("<L", data, at + 42, last.header_offset)
        at += 46 + sum(lengths)
    archive.write_bytes(data)
    assert any(part in refused(archive) for part in ("damaged", "500 times"))  # later versions of Python find it first


@pytest.mark.parametrize("name", PACKED)
def test_the_limit_of_uploads_holds_for_what_they_become(place: Path, name: str) -> None:
    """SEC-4: all files together."""
    archive = PACKED[name](place / name, {f"{n}.bin": bytes(range(256)) * 1024 for n in range(8)})
    assert "more than 2 MB" in refused(archive, 2_000_000)
    unpack(archive, folder_for(archive), 3_000_000)


def test_a_header_that_lies_about_the_size_is_found_out(place: Path) -> None:
    """SEC-4: one byte is said, a million come."""
    archive = zipped(place / "a.zip", {"a.txt": bytes(1_000_000)})
    archive.write_bytes(archive.read_bytes().replace(struct.pack("<L", 1_000_000), struct.pack("<L", 1)))
    assert "damaged" in refused(archive)


@pytest.mark.parametrize("name", ["a.zip", "a.tar"])
def test_files_and_folders_are_counted(place: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """SEC-4: folders that are only part of names as well."""
    monkeypatch.setattr(unpacking, "MOST_FILES", 30)
    assert "30 files" in refused(PACKED[name](place / name, {f"{number}.txt": b"" for number in range(31)}))
    assert "30 files" in refused(PACKED[name](place / f"b{name}", {f"{n}/1/2/3/4/a.txt": b"" for n in range(7)}))
    assert "30 files" in refused(PACKED[name](place / f"c{name}", {f"{number}/": b"" for number in range(31)}))


def test_what_is_said_about_files_is_limited(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SEC-4: a name of 200 MB would be held in memory before it could be refused, and so would a list of a million names."""
    with gzip.open(place / "a.tar.gz", "wb") as packed:
        info = tarfile.TarInfo("././@LongLink")
        info.type, info.size = tarfile.GNUTYPE_LONGNAME, 200 * 2**20
        packed.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(200):
            packed.write(b"a" * 2**20)
    assert "says too much" in refused(place / "a.tar.gz")
    monkeypatch.setattr(members, "_DIRECTORY_BYTES", 2000)
    assert "list of contents" in refused(zipped(place / "b.zip", {f"{number:0100}": b"" for number in range(100)}))


def test_what_is_encrypted_is_named(place: Path) -> None:
    """STU-11: by the file's name, with what to do."""
    archive = zipped(place / "a.zip", {"pets/secret.png": b"1"})
    data = bytearray(archive.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)
    said = refused(archive)
    assert "'pets/secret.png' in the archive is encrypted" in said
    assert "without one" in said


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packings_that_take_memory_as_they_like_are_refused(place: Path, method: int) -> None:
    """SEC-4: a megabyte of bzip2 may become gigabytes in one piece."""
    assert "unusual way" in refused(zipped(place / "a.zip", {"a.txt": b"1" * 1000}, method))


@pytest.mark.parametrize("start", [b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07\x01\x00"])
def test_other_archives_are_told_as_such(place: Path, start: bytes) -> None:
    """STU-11: instead of talk about zero bytes."""
    (place / "a.bin").write_bytes(start + bytes(100))
    assert ".zip or .tar.gz" in refused(place / "a.bin")


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "noise"])
def test_a_damaged_archive_is_refused_whole(place: Path, name: str, damage: str) -> None:
    """REL-2: wherever it is cut or wrong; no file of it is taken for the whole."""
    import random

    whole = PACKED[name](place / name, {f"{n}.bin": random.Random(n).randbytes(3000) for n in range(6)}).read_bytes()
    if damage == "cut":
        broken = [whole[:size] for size in (*range(600, len(whole) - 1, 1999), len(whole) - 6)]
        if name == "a.tar":
            broken = [one for one in broken if len(one) < 6 * (512 + 3072)] + [whole[: 3 * (512 + 3072)]]
    elif damage == "flipped":
        at = (
            whole.index(random.Random(3).randbytes(3000)[:100]) + 50
            if name in ("a.tar", "stored.zip")
            else len(whole) // 2
        )
        broken = [whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :]]
        if name == "a.tar":  # which has check sums of its headers only
            at = 3 * (512 + 3072) + 10
            broken = [whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :]]
    else:
        broken = [b"" if damage == "empty" else random.Random(9).randbytes(2000)]
        if name == "named-wrong.bin":
            return  # nothing says that it is an archive
    for data in broken:
        (place / name).write_bytes(data)
        assert "damaged" in refused(place / name), len(data)


def test_the_check_sum_of_gzip_is_read(place: Path) -> None:
    """REL-2: it stands behind the end of the tar file, and is all that a tar file of damaged content has."""
    whole = bytearray(gzip.compress(tarred(place / "b.tar", PETS).read_bytes() + bytes(2**20)))
    whole[-8] ^= 1
    (place / "a.tar.gz").write_bytes(whole)
    assert "damaged" in refused(place / "a.tar.gz")


def test_an_archive_of_nothing(place: Path) -> None:
    """STU-11"""
    assert "no file in the archive" in refused(zipped(place / "a.zip", {"__MACOSX/._a": b"1"}))
    assert "no file in the archive" in refused(tarred(place / "b.tar", {}))


@pytest.mark.parametrize("name", ["a.zip", "a.tar"])
def test_a_full_disk_leaves_nothing(place: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """REL-2: while it is written, and when it is to be on the disk."""
    import os

    archive = PACKED[name](place / name, PETS)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    for broken in ("fsync", "mkdir"):
        with monkeypatch.context() as patch:
            if broken == "fsync":
                patch.setattr(os, "fsync", full)
            else:
                patch.setattr(unpacking._Unpacked, "_make", full)
            with pytest.raises(EnvironmentProblem, match="cannot be unpacked") as caught:
                unpack(archive, folder_for(archive), MOST)
        assert "No space left" in caught.value.why
        assert list(place.iterdir()) == [archive]
    unpack(archive, folder_for(archive), MOST)


def test_single_files_are_no_archives(place: Path) -> None:
    """DAT-1: a compressed file of rows stays what it is."""
    for name, data in {
        "a.jsonl": ROWS,
        "a.jsonl.gz": gzip.compress(ROWS),
        "a.txt": b"ustar",
        "empty.jsonl": b"",
    }.items():
        (place / name).write_bytes(data)
        assert archive_kind(place / name) == ""
    assert archive_kind(place) == ""
    assert archive_kind(place / "gone.zip") in ("", "zip")
    assert [stem(name) for name in ("pets.zip", "pets.tar.gz", "PETS.TGZ", "pets", ".zip")] == [
        "pets",
        "pets",
        "PETS",
        "pets",
        ".zip",
    ]
