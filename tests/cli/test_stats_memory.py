#!/usr/bin/env python3
"""Resident memory stays bounded whatever the size of the files."""

import os
import subprocess
import sys
import zipfile

import cli

MIB = 1 << 20
MOST_MORE = 64 * MIB  # of the 960 that the larger file has more


# A process begins with the peak of the one that it was forked from: a small one starts the program.
MEASURE = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
assert status == 0, status
print(usage.ru_maxrss)
"""


def peak_of(*arguments):
    command = [sys.executable, "-S", "-c", MEASURE, cli.PROGRAM, *map(str, arguments)]
    return int(subprocess.run(command, capture_output=True, check=True, timeout=300).stdout) * 1024


def test_sixteen_times_the_file_takes_no_more_memory():
    folder, path = cli.temporary_folder()
    with folder:
        small, large = path / "small.safetensors", path / "large.safetensors"
        for file, mib in ((small, 4), (large, 64)):
            header = {f"t{i}": {"dtype": "F32", "shape": [mib * 64, 4096],
                                "data_offsets": [i * mib * MIB, (i + 1) * mib * MIB]} for i in range(16)}
            start = cli.safetensors_bytes(header)
            file.write_bytes(start)
            os.truncate(file, len(start) + 16 * mib * MIB)
        for arguments in (("--threads", 1), ("--threads", 4), ("--channel", -1, "--threads", 2)):
            check(small, large, *arguments)
        for threads in (1, 4):
            before = peak_of("stats", small, "--quiet", "--compare", small, "--threads", threads)
            after = peak_of("stats", large, "--quiet", "--compare", large, "--threads", threads)
            assert after < before + MOST_MORE, (before, after)


def test_nor_does_what_is_packed():
    folder, path = cli.temporary_folder()
    with folder:
        for name, mib in (("small", 4), ("large", 256)):
            header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (%d,), }\n" % (mib * MIB)
            with zipfile.ZipFile(path / f"{name}.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=0) as archive:
                with archive.open("zeros.npy", "w") as member:
                    member.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
                    for _ in range(mib):
                        member.write(bytes(MIB))
            assert (path / f"{name}.npz").stat().st_size > mib * MIB, "as large as its contents"
        small, large = path / "small.npz", path / "large.npz"
        check(small, large, "--threads", 1)
        before = peak_of("stats", small, "--quiet", "--compare", small)
        after = peak_of("stats", large, "--quiet", "--compare", large)
        assert after < before + MOST_MORE, (before, after)


def check(small, large, *arguments):
    before = peak_of("stats", small, "--quiet", *arguments)
    after = peak_of("stats", large, "--quiet", *arguments)
    print(f"{arguments}: {before // MIB} and {after // MIB} MiB")
    assert after < before + MOST_MORE, (arguments, before, after)


if __name__ == "__main__":
    cli.main(sys.modules[__name__])
