#!/usr/bin/env python3
"""Ctrl-C: exit 5, with the rows done so far, marked partial."""

import json
import signal
import struct
import subprocess
import sys
import time
import zlib

import cli

TENSORS = 512
BYTES_EACH = 32 << 20


def interrupt(arguments, number=signal.SIGINT):
    with subprocess.Popen([cli.PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:
        cli.wait_for_handler(process, number)
        time.sleep(0.5)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err


def with_long_file(check):
    folder, path = cli.temporary_folder()
    with folder:
        file = path / "zeros.safetensors"
        cli.sparse_safetensors(file, TENSORS, BYTES_EACH)
        check(file)


def test_json_is_partial():
    def check(file):
        for number in (signal.SIGINT, signal.SIGTERM):
            code, out, err = interrupt(("stats", file, "--threads", 2, "--json", "-"), number)
            assert code == 5, (code, err)
            document = json.loads(out)
            assert document["run"]["partial"] is True
            assert 0 < len(document["tensors"]) < TENSORS, len(document["tensors"])
            for row in document["tensors"]:
                assert row["count"] == row["zeros"] == BYTES_EACH // 4, row
    with_long_file(check)


def test_table_is_partial():
    def check(file):
        code, out, err = interrupt(("stats", file, "--threads", 2))
        assert code == 5, (code, err)
        lines = out.splitlines()
        assert lines[-1].startswith("partial: interrupted after "), lines[-3:]
        assert "all-zero" in out
        assert err == "", err
    with_long_file(check)


def deflated_zeros(path, tensors, bytes_each):
    """A .npz whose members unpack to a thousand times what is stored."""
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (%d,), }\n" % bytes_each
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(bytes_each)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = packer.compress(content) + packer.flush()
    numbers = struct.pack("<HHHHHIII", 20, 0, 8, 0, 0, zlib.crc32(content), len(data), len(content))
    members, entries = b"", b""
    for i in range(tensors):
        name = b"%d.npy" % i
        entries += b"PK\1\2\x14\0" + numbers + struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, len(members)) + name
        members += b"PK\3\4" + numbers + struct.pack("<HH", len(name), 0) + name + data
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, tensors, tensors, len(entries), len(members), 0)
    path.write_bytes(members + entries + end)


def test_deflated_tensors_are_partial():
    folder, path = cli.temporary_folder()
    with folder:
        file = path / "zeros.npz"
        deflated_zeros(file, 300, BYTES_EACH)
        code, out, err = interrupt(("stats", file, "--threads", 2, "--json", "-"))
        assert code == 5, (code, err)
        document = json.loads(out)
        assert document["run"]["partial"] is True
        assert 0 < len(document["tensors"]) < 300, len(document["tensors"])
        for row in document["tensors"]:
            assert row["count"] == row["zeros"] == BYTES_EACH, row


def test_a_whole_run_is_not_partial():
    folder, path = cli.temporary_folder()
    with folder:
        file = path / "zeros.safetensors"
        cli.sparse_safetensors(file, 2, 4096)
        assert "partial" not in cli.run_json(file)["run"]


if __name__ == "__main__":
    cli.main(sys.modules[__name__])
