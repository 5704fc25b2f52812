#!/usr/bin/env python3
"""stats --csv: what a reader of RFC 4180 gets is what --json says."""

import csv
import io
import json
import subprocess
import sys

import cli

COLUMNS = ["file", "tensor", "dtype", "shape", "channel", "count", "sum", "mean", "std", "min", "max", "absmax", "nan",
           "inf", "zeros", "flags"]
NUMBERS = ("count", "sum", "mean", "std", "min", "max", "absmax", "nan", "inf", "zeros")


def rows_of(text):
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = next(reader)
    assert header == COLUMNS, header
    return [dict(zip(header, row, strict=True)) for row in reader]


def check_numbers(row, expected):
    for key in NUMBERS:
        assert (float(row[key]) if row[key] else None) == expected[key], (key, row, expected)


def odd_names(path):
    cli.write_safetensors(path, {'a,"b"\r\nc': ("F32", [2], b"\0\0\x80\x3f\0\0\0\xc0"), "empty": ("F32", [0], b""),
                                 "nan": ("F32", [1], b"\0\0\xc0\x7f"), "=1+1": ("U8", [2, 3], bytes(6))})


def test_a_row_a_tensor():
    folder, path = cli.temporary_folder()
    with folder:
        file = path / "odd, names.safetensors"
        odd_names(file)
        result = cli.run("stats", file, "--csv", path / "out.csv", "--json", path / "out.json")
        assert result.returncode == 0 and "4 tensors, " in result.stdout, result
        text = (path / "out.csv").read_bytes().decode()
        # Read as bytes: Python's text mode would take the line ends for others.
        piped = subprocess.run([cli.PROGRAM, "stats", str(file), "--csv", "-"], capture_output=True, check=True)
        assert piped.stdout.decode() == text
        rows = {row["tensor"]: row for row in rows_of(text)}
        expected = json.loads((path / "out.json").read_text())["tensors"]
        assert len(rows) == len(expected) == 4
        for wanted in expected:
            row = rows[wanted["name"]]
            assert row["file"] == wanted["file"] and row["dtype"] == wanted["dtype"]
            assert json.loads(row["shape"]) == wanted["shape"] and row["channel"] == ""
            check_numbers(row, wanted)
        assert rows["=1+1"]["flags"] == "all-zero" and rows["nan"]["flags"] == "NaN 1"
        assert rows["nan"]["mean"] == "", "nothing finite, nothing to say"


def test_a_row_a_channel():
    folder, path = cli.temporary_folder()
    with folder:
        file = path / "odd.safetensors"
        odd_names(file)
        result = cli.run("stats", file, "--channel", 1, "--csv", path / "out.csv", "--json", path / "out.json",
                         "--quiet")
        assert result.returncode == 0 and result.stdout == "", result
        rows = rows_of((path / "out.csv").read_bytes().decode())
        document = json.loads((path / "out.json").read_text())
        split = next(row for row in document["tensors"] if row["name"] == "=1+1")
        channels = [row for row in rows if row["channel"]]
        assert [row["channel"] for row in channels] == ["0", "1", "2"]
        for row, wanted in zip(channels, split["channels"]):
            assert row["tensor"] == "=1+1" and row["flags"] == "dead"
            check_numbers(row, wanted)
        assert sorted(row["tensor"] for row in rows if not row["channel"]) == ['a,"b"\r\nc', "empty", "nan"]
        assert all("no dimension 1" in row["flags"] for row in rows if not row["channel"])


def test_usage():
    folder, path = cli.temporary_folder()
    with folder:
        file = path / "odd.safetensors"
        odd_names(file)
        result = cli.run("stats", file, "--csv", path / "absent" / "out.csv")
        assert result.returncode == 2 and "--csv" in result.stderr, result
        for place in ("-", path / "same"):
            result = cli.run("stats", file, "--csv", place, "--json", place)
            assert result.returncode == 2 and "name two places" in result.stderr, result


def test_a_bad_file_leaves_the_output_alone():
    folder, path = cli.temporary_folder()
    with folder:
        (path / "bad.safetensors").write_bytes(b"no")
        (path / "out.csv").write_text("of another day")
        result = cli.run("stats", path / "bad.safetensors", "--csv", path / "out.csv")
        assert result.returncode == 3, result
        assert (path / "out.csv").read_text() == "of another day"


if __name__ == "__main__":
    cli.main(sys.modules[__name__])
