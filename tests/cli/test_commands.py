#!/usr/bin/env python3
"""devices, stress, sample and tour: what they print, and what programs can read of it."""

import json
import re
import sys
import time

import cli

NOUNS = {"reduce": "Reduce", "alloc": "Alloc", "streams": "Stream", "events": "Event", "guards": "Guard",
         "handlers": "Handler", "lifecycle": "Lifecycle", "faults": "Fault"}


def test_version_and_help():
    assert re.fullmatch(r"millrace \d+\.\d+\.\d+\n", cli.run("--version").stdout)
    text = cli.run("--help")
    assert text.returncode == 0
    for command in ("devices", "stats", "stress", "bench", "replay", "record", "sample", "tour"):
        assert command in text.stdout, command


def test_devices():
    table = cli.run("devices")
    assert table.returncode == 0 and "host:0" in table.stdout, table
    devices = json.loads(cli.run("devices", "--json").stdout)["devices"]
    assert devices[0]["name"] == "host:0" and devices[0]["memory_bytes"] > 0, devices


def test_stress_says_what_it_did():
    for kind, noun in NOUNS.items():
        result = cli.run("stress", kind, "--threads", 4, "--iterations", 20, "--seed", 7)
        assert result.returncode == 0, result
        lines = result.stdout.splitlines()
        assert re.fullmatch(rf"{noun} ops: 20/20 in \d+\.\d\ds, errors=0", lines[0]), lines
        assert lines[1:] == [f"{noun} operations stress test: PASS"], lines


def test_stress_with_the_debug_modes():
    for mode in ("--chaos", "--protect"):
        result = cli.run("stress", "all", "--threads", 8, "--iterations", 40, mode)
        assert result.returncode == 0, result
        assert result.stdout.count("PASS") == len(NOUNS), result


def test_stress_json():
    document = json.loads(cli.run("stress", "reduce", "--iterations", 10, "--seed", 3, "--json", "-").stdout)
    (report,) = document["stress"]
    assert report["kind"] == "reduce" and report["done"] == report["iterations"] == 10, report
    assert report["passed"] is True and report["seed"] == 3 and report["errors"] == 0, report


def test_samples_repeat():
    folder, path = cli.temporary_folder()
    with folder:
        for name, seed in (("a", 5), ("b", 5), ("c", 6)):
            result = cli.run("sample", path / name, "--seed", seed)
            assert result.returncode == 0 and "3 NaNs" in result.stdout, result
        assert (path / "a").read_bytes() == (path / "b").read_bytes() != (path / "c").read_bytes()


def test_tour_is_short():
    begin = time.monotonic()
    result = cli.run("tour")
    assert result.returncode == 0, result
    assert result.stdout.count("Reduce operations stress test: PASS") == 2, result.stdout
    for part in ("host:0", "planted", "NaN 3", "inf 2", "all-zero", "glibc", "./run stats"):
        assert part in result.stdout, part
    assert time.monotonic() - begin < 30


if __name__ == "__main__":
    cli.main(sys.modules[__name__])
