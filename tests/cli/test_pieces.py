#!/usr/bin/env python3
"""Tensors larger than the memory limit go through in pieces, with the same result."""

import sys

import cli
import stats_reference

MIB = 1 << 20


def big_file(path):
    np = cli.numpy()
    random = np.random.default_rng(3)
    big = random.standard_normal((6 * MIB,)).astype("f4")  # 24 MiB
    big[12345], big[5 * MIB] = np.nan, np.inf
    odd = random.standard_normal((3 * MIB + 1,)).astype("<f2")  # 6 MiB and two bytes
    small = random.standard_normal((100,)).astype("f8")
    cli.write_safetensors(path, {"small": ("F64", small.shape, small.tobytes()),
                                 "big": ("F32", big.shape, big.tobytes()),
                                 "odd": ("F16", odd.shape, odd.tobytes())})


def test_pieces():
    folder, path = cli.temporary_folder()
    with folder:
        file = path / "big.safetensors"
        big_file(file)
        for limit in (4 * MIB, 8 * MIB, 16 * MIB, 10**7, 64 * MIB):
            for threads in (1, 2, 8):
                document = cli.run_json(file, "--memory-limit", limit, "--threads", threads)
                assert stats_reference.check_safetensors(document, file) == 3
                run = document["run"]
                assert run["memory_limit"] == limit, run
                assert run["peak_committed_bytes"] <= limit, run
                assert 1 <= run["threads"] <= threads, run


def test_the_result_does_not_depend_on_the_threads():
    folder, path = cli.temporary_folder()
    with folder:
        file = path / "big.safetensors"
        big_file(file)
        first = cli.run_json(file, "--threads", 1)["tensors"]
        for threads in (2, 7):
            assert cli.run_json(file, "--threads", threads)["tensors"] == first


def test_sizes_are_read_in_every_spelling():
    folder, path = cli.temporary_folder()
    with folder:
        file = path / "sample.safetensors"
        assert cli.run("sample", file).returncode == 0
        for text, size in (("64MiB", 64 * MIB), ("1GiB", 1 << 30), ("500MB", 500 * 10**6), ("33554432", 32 * MIB),
                           ("0.5GiB", 512 * MIB)):
            assert cli.run_json(file, "--memory-limit", text)["run"]["memory_limit"] == size, text


def test_a_limit_that_nothing_fits_is_a_failure_of_memory():
    folder, path = cli.temporary_folder()
    with folder:
        file = path / "sample.safetensors"
        assert cli.run("sample", file).returncode == 0
        result = cli.run("stats", file, "--memory-limit", "1")
        assert result.returncode == 4, result
        assert "OutOfMemory" in result.stderr or "out of memory" in result.stderr.lower(), result.stderr


if __name__ == "__main__":
    cli.numpy()
    cli.main(sys.modules[__name__])
