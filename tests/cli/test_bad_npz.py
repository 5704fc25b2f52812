#!/usr/bin/env python3
"""Archives that are damaged or lie end in exit 3 and one line that says where and how."""

import io
import struct
import sys
import zipfile
import zlib

import cli

LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


def npy(content):
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (%d,), }\n" % len(content)
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


def archive(members, method=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, content in members:
            file.writestr(zipfile.ZipInfo(name), content, method)
    return out.getvalue()


def patched(content, signature, offset, layout, value):
    """The archive with another number behind the first place of a signature."""
    at = content.index(signature) + offset
    number = struct.pack(layout, value)
    return content[:at] + number + content[at + len(number):]


ARRAY = npy(b"elements, elements, elements and elements")
STORED = archive([("a.npy", ARRAY)])
DEFLATED = archive([("a.npy", ARRAY)], zipfile.ZIP_DEFLATED)


def overlapping():
    inner = archive([("b.npy", ARRAY)])
    outer = archive([("a.npy", npy(inner[:inner.index(CENTRAL)])), ("b.npy", ARRAY)])
    at = outer.rindex(CENTRAL) + 42
    return outer[:at] + struct.pack("<I", outer.index(LOCAL, 4)) + outer[at + 4:]


def lying_size():
    """A member that unpacks to fewer bytes than both headers and its array's shape say."""
    content = npy(bytes(5000))
    file = archive([("a.npy", content[:-1000])], zipfile.ZIP_DEFLATED)
    file = patched(file, LOCAL, 22, "<I", len(content))
    return patched(file, CENTRAL, 24, "<I", len(content))


def bomb():
    """A million times its size, says the directory."""
    file = patched(DEFLATED, LOCAL, 22, "<I", 0xFFFFFFF0)
    return patched(file, CENTRAL, 24, "<I", 0xFFFFFFF0)


def wrong_checksum(member):
    crc = zlib.crc32(b"something else")
    return patched(patched(member, LOCAL, 14, "<I", crc), CENTRAL, 16, "<I", crc)


def damaged():
    content = npy(bytes(range(256)) * 400)
    file = bytearray(archive([("a.npy", content)], zipfile.ZIP_DEFLATED))
    file[file.index(CENTRAL) // 2] ^= 0xFF
    return bytes(file)


def two_of_a_name():
    file = archive([("a.npy", ARRAY), ("b.npy", ARRAY)])
    return file.replace(b"b.npy", b"a.npy")


# name -> (content, what the line must say)
FILES = {
    "empty.npz": (b"", "an empty file"),
    "nothing.npz": (archive([]), "expected tensors, found none"),
    "text.npz": (b"hello, this is no archive at all", "the end record of a ZIP archive"),
    "cut_off.npz": (STORED[:-30], "cut off"),
    "trailing.npz": (STORED + b"x", "the end record"),
    "prefix.npz": (b"#!/bin/sh\n" + STORED, "a central directory that ends at byte"),
    "encrypted.npz": (patched(STORED, CENTRAL, 8, "<H", 1), "not encrypted"),
    "bzip2.npz": (archive([("a.npy", ARRAY)], zipfile.ZIP_BZIP2), "method 12 (bzip2)"),
    "lzma.npz": (archive([("a.npy", ARRAY)], zipfile.ZIP_LZMA), "method 14 (LZMA)"),
    "overlap.npz": (overlapping(), "an overlap of"),
    "longer.npz": (patched(patched(STORED, CENTRAL, 20, "<I", 5000), CENTRAL, 24, "<I", 5000),
                   "where the central directory begins"),
    "two_sizes.npz": (patched(STORED, CENTRAL, 24, "<I", 3), "3 bytes stored"),
    "header_disagrees.npz": (patched(STORED, LOCAL, 22, "<I", 3), "the sizes"),
    "lying.npz": (lying_size(), "the end of the data after"),
    "bomb.npz": (bomb(), "at most 1032 times"),
    "checksum.npz": (wrong_checksum(DEFLATED), "the checksum"),
    "damaged.npz": (damaged(), "\"a\""),
    "twice.npz": (two_of_a_name(), "a second \"a.npy\""),
    "text_in_it.npz": (archive([("a.npy", ARRAY), ("readme.txt", b"hello")]), "\"readme.txt\"; take it out"),
    "pickle_in_it.npz": (archive([("a.pkl", b"\x80\x04N.")]), "a pickle, which is refused: loading one runs"),
    "folder_with_content.npz": (archive([("folder/", b"content")]), "\"folder/\"; take it out"),
    "no_magic.npz": (archive([("a.npy", b"hello")]), "the magic"),
    "objects.npz": (archive([("o.npy", ARRAY.replace(b"|u1", b"|O1"))], zipfile.ZIP_DEFLATED), "an array of objects"),
    "control.npz": (archive([("\x1b[2J\n.txt", b"")]), "\\x1b[2J\\x0a.txt"),
    "parts.npz": (patched(STORED, END, 4, "<H", 3), "in one part"),
    "count.npz": (patched(patched(STORED, END, 8, "<H", 7), END, 10, "<H", 7), "7 members"),
    "no_zip64.npz": (patched(STORED, END, 10, "<H", 0xFFFF), "zip64"),
}


def test_files():
    folder, path = cli.temporary_folder()
    with folder:
        for name, (content, says) in FILES.items():
            (path / name).write_bytes(content)
            cli.check_refused(path / name, says)
            cli.check_refused(path / name, says, "--json", "-", "--memory-limit", "64MiB")


def test_the_same_files_are_right_without_the_damage():
    folder, path = cli.temporary_folder()
    with folder:
        for name, content in (("stored.npz", STORED), ("deflated.npz", DEFLATED)):
            (path / name).write_bytes(content)
            (row,) = cli.run_json(path / name)["tensors"]
            assert row["name"] == "a" and row["count"] == 41, row


if __name__ == "__main__":
    cli.main(sys.modules[__name__])
