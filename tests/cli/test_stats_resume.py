#!/usr/bin/env python3
"""stats --resume: what an interrupted run has found is not computed again, and the end is the same."""

import json
import os
import signal
import struct
import subprocess
import sys
import time

import cli

MIB = 1 << 20
TENSORS = 200


def write_numbers(path, tensors, rows):
    """f32 tensors of [rows, 1024], numbers that no sum of is exact."""
    header, data = {}, []
    row = struct.pack("<1024f", *(((i * 2654435761) % 1009) / 7 - 50 for i in range(1024)))
    for t in range(tensors):
        header[f"t{t}"] = {"dtype": "F32", "shape": [rows, 1024],
                           "data_offsets": [t * rows * 4096, (t + 1) * rows * 4096]}
        shifted = row[4 * t:] + row[:4 * t]
        data.append(shifted * rows)
    path.write_bytes(cli.safetensors_bytes(header, b"".join(data)))


def without(document, names):
    """The document as it would be had the run been interrupted before these rows."""
    document = json.loads(json.dumps(document))
    document["tensors"] = [row for row in document["tensors"] if row["name"] not in names]
    document["run"]["partial"] = True
    return document


def test_the_end_is_the_same_whatever_was_missing():
    folder, path = cli.temporary_folder()
    with folder:
        file = path / "numbers.safetensors"
        write_numbers(file, 6, 700)
        for arguments in ((), ("--channel", "-1"), ("--channel", "0")):
            whole = cli.run_json(file, *arguments)
            for missing in ((), ("t0",), ("t1", "t4", "t5"), tuple(f"t{i}" for i in range(6))):
                partial = path / "partial.json"
                partial.write_text(json.dumps(without(whole, missing)))
                resumed = cli.run_json(file, *arguments, "--resume", partial)
                assert resumed["tensors"] == whole["tensors"], (arguments, missing)
                assert resumed["run"]["bytes"] == len(missing) * 700 * 4096, resumed["run"]
                assert "partial" not in resumed["run"]


def test_interrupted_and_resumed_in_place():
    folder, path = cli.temporary_folder()
    with folder:
        file, progress = path / "zeros.safetensors", path / "run.json"
        cli.sparse_safetensors(file, TENSORS, 16 * MIB)
        command = [cli.PROGRAM, "stats", str(file), "--threads", "1", "--json", str(progress), "--quiet"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            cli.wait_for_handler(process, signal.SIGINT)
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        assert process.returncode == 5, (process.returncode, err)
        document = json.loads(progress.read_text())
        done = [row["name"] for row in document["tensors"]]
        assert document["run"]["partial"] is True and 0 < len(done) < TENSORS
        assert done == [f"t{i}" for i in range(len(done))], "what is done is the beginning"
        # The same file is read, then written.
        result = cli.run("stats", file, "--resume", progress, "--json", progress, "--quiet")
        assert result.returncode == 0, result
        resumed = json.loads(progress.read_text())
        assert [row["name"] for row in resumed["tensors"]] == [f"t{i}" for i in range(TENSORS)]
        assert resumed["run"]["bytes"] == (TENSORS - len(done)) * 16 * MIB


def test_deflated_arrays():
    np = cli.numpy()
    random = np.random.default_rng(2)
    folder, path = cli.temporary_folder()
    with folder:
        file = path / "arrays.npz"
        np.savez_compressed(file, **{f"t{i}": random.standard_normal((100 * i + 1, 60)) for i in range(5)})
        for arguments in ((), ("--channel", 1)):
            whole = cli.run_json(file, *arguments)
            (path / "partial.json").write_text(json.dumps(without(whole, ("t1", "t4"))))
            resumed = cli.run_json(file, *arguments, "--resume", path / "partial.json")
            assert resumed["tensors"] == whole["tensors"]
            assert resumed["run"]["bytes"] == (101 + 401) * 60 * 8


def test_a_file_named_twice_and_a_name_that_is_not_utf8():
    folder, path = cli.temporary_folder()
    with folder:
        name = os.fsencode(path) + b"/\xff.npy"
        header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }\n"
        with open(name, "wb") as out:
            out.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + struct.pack("<3f", .1, .2, .3))

        def run(*extra):
            return subprocess.run([cli.PROGRAM, "stats", name, name, *extra], capture_output=True, check=True).stdout

        whole = json.loads(run("--json", "-"))
        assert len(whole["tensors"]) == 2
        (path / "run.json").write_text(json.dumps({**whole, "tensors": whole["tensors"][:1]}))
        resumed = json.loads(run("--json", "-", "--resume", str(path / "run.json")))
        assert resumed["tensors"] == whole["tensors"] and resumed["run"]["bytes"] == 12, resumed


def test_other_files_and_other_runs_are_refused():
    folder, path = cli.temporary_folder()
    with folder:
        file, other, run = path / "a.safetensors", path / "b.safetensors", path / "run.json"
        write_numbers(file, 2, 3)
        write_numbers(other, 2, 3)
        assert cli.run("stats", file, "--json", run, "--quiet").returncode == 0

        def refused(says, *arguments):
            before = run.read_bytes()
            result = cli.run("stats", *arguments, "--resume", run, "--json", run, timeout=60)
            assert result.returncode == 3 and result.stdout == "", result
            assert result.stderr.count("\n") == 1 and says in result.stderr and "run.json" in result.stderr, result
            assert run.read_bytes() == before, "what there was stays"

        refused("expected a run of " + str(other), other)
        refused("a run of 2 files, found 1", file, other)
        refused("a run with --channel 1, found a run without", file, "--channel", 1)
        os.utime(file, ns=(1, 10**18))
        refused("as it was changed last, at 1000000000000000000 ns", file)
        write_numbers(file, 2, 4)
        refused("bytes, found", file)


def test_malformed_files_are_refused():
    folder, path = cli.temporary_folder()
    with folder:
        file, run = path / "a.safetensors", path / "run.json"
        write_numbers(file, 2, 3)
        good = cli.run_json(file)
        cases = {"cut": json.dumps(good)[:-20], "empty": "", "list": "[]", "number": "7", "deep": "[" * 200_000,
                 "zero": "\0", "tensors": json.dumps({**good, "tensors": {}}), "bytes": "\udcff",
                 "run": json.dumps({**good, "run": []}), "files": json.dumps({**good, "run": {"files": 1}})}
        for key in ("name", "file", "dtype", "shape", "count", "m2", "nan", "max"):
            broken = without(good, ())
            broken["tensors"][1][key] = {"an": ["object"]}
            cases[key] = json.dumps(broken)
        for name, text in cases.items():
            run.write_bytes(text.encode("utf-8", "surrogateescape"))
            result = cli.run("stats", file, "--resume", run, timeout=60)
            assert result.returncode == 3 and result.stdout == "", (name, result)
            assert result.stderr.count("\n") == 1 and "run.json" in result.stderr, (name, result)
            assert "expected" in result.stderr and "found" in result.stderr, (name, result)
        for absent in (path / "none", path):
            assert cli.run("stats", file, "--resume", absent).returncode == 3


if __name__ == "__main__":
    cli.numpy()
    cli.main(sys.modules[__name__])
