#!/usr/bin/env python3
"""Bad input ends in exit 3 and one line that says file, place, what was expected and what was found."""

import io
import os
import pathlib
import pickle
import signal
import struct
import subprocess
import sys
import time
import zipfile

import cli

MAGIC = b"\x93NUMPY\x01\x00"


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def npy(header, data=b""):
    return MAGIC + struct.pack("<H", len(header)) + header + data


def torch_archive():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps({"weight": 1}))
    return out.getvalue()


GOOD = cli.safetensors_bytes({"a": entry("F32", [2], 0, 8)}, bytes(8))
DICT = b"{'descr': '%s', 'fortran_order': False, 'shape': (%s), }\n"

# name -> (content, what the line must say)
FILES = {
    "truncated.safetensors": (GOOD[:-3], "data_offsets"),
    "shorter.safetensors": (GOOD[:5], "8 bytes of header length"),
    "past_the_end.safetensors": (struct.pack("<Q", 1 << 50) + b"{}", "header length of 1125899906842624"),
    "just_past.safetensors": (struct.pack("<Q", 3) + b"{}", "header length of 3"),
    "not_json.safetensors": (cli.safetensors_bytes(b"{hello}"), "JSON"),
    "no_object.safetensors": (cli.safetensors_bytes(b"[1,2,3]"), "begins with {"),
    "nested.safetensors": (cli.safetensors_bytes(b'{"a":' * 300_000), "expected"),
    "arrays.safetensors": (cli.safetensors_bytes(b'{"a":' + b"[" * 1_000_000), "an array"),
    "duplicate.safetensors": (cli.safetensors_bytes(
        b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}',
        bytes(2)), "a second"),
    "overlap.safetensors": (cli.safetensors_bytes(
        {"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 1, 3)}, bytes(3)), "overlap"),
    "hole.safetensors": (cli.safetensors_bytes(
        {"a": entry("U8", [1], 0, 1), "b": entry("U8", [1], 2, 3)}, bytes(3)), "hole"),
    "trailing.safetensors": (GOOD + b"x", "1 more bytes"),
    "out_of_range.safetensors": (cli.safetensors_bytes({"a": entry("F32", [200], 0, 800)}, bytes(8)), "[0, 800]"),
    "backwards.safetensors": (cli.safetensors_bytes({"a": entry("U8", [1], 8, 7)}, bytes(8)), "[8, 7]"),
    "unknown_dtype.safetensors": (cli.safetensors_bytes({"a": entry("F7", [1], 0, 1)}, bytes(1)),
                                  "no dtype of safetensors"),
    "float8.safetensors": (cli.safetensors_bytes({"a": entry("F8_E5M2", [1], 0, 1)}, bytes(1)), "does not support"),
    "mismatch.safetensors": (cli.safetensors_bytes({"a": entry("F32", [3], 0, 8)}, bytes(8)), "12 bytes"),
    "overflow.safetensors": (cli.safetensors_bytes({"a": entry("F32", [2**33, 2**33], 0, 8)}, bytes(8)), "63 bits"),
    "no_tensors.safetensors": (cli.safetensors_bytes({}), "expected tensors, found none"),
    "control.safetensors": (cli.safetensors_bytes({"\x1b[2J\n": entry("F7", [1], 0, 1)}, bytes(1)), "\\x1b[2J\\x0a"),
    "empty.safetensors": (b"", "an empty file"),
    "empty.npy": (b"", "an empty file"),
    "no_magic.npy": (b"hello world", "magic"),
    "truncated.npy": (npy(DICT % (b"<f4", b"4,"), bytes(15)), "16 bytes"),
    "header_past_the_end.npy": (MAGIC + struct.pack("<H", 5000) + b"{}", "header length of 5000"),
    "version.npy": (b"\x93NUMPY\x09\x00\x00\x00", "version"),
    "objects.npy": (npy(DICT % (b"|O", b"1,"), pickle.dumps([1])), "an array of objects, which is refused"),
    "big_endian.npy": (npy(DICT % (b">f4", b"1,"), bytes(4)), "big-endian"),
    "complex.npy": (npy(DICT % (b"<c8", b"1,"), bytes(8)), "does not support"),
    "unknown.npy": (npy(DICT % (b"<q3", b"1,"), bytes(8)), "no element type of NumPy"),
    "overflow.npy": (npy(DICT % (b"<f8", b"4294967296, 4294967296"), bytes(8)), "63 bits"),
    "code.npy": (npy(b"{'descr': __import__('os').getcwd(), }"), "in quotes"),
    "model.pt": (torch_archive(), "a pickle, which is refused: loading one runs"),
    "pytorch_model.bin": (pickle.dumps({"a": 1}), "a pickle, which is refused: loading one runs"),
    "disguised.safetensors": (torch_archive(), "a pickle, which is refused"),
    "arrays.npz": (torch_archive(), "model/data.pkl\", a pickle, which is refused"),
    "archive.zip": (torch_archive(), "a zip archive"),
    "pytorch_model.bin.index.json": (b"{}", "an index of files each of which is a pickle"),
    "model.gguf": (b"GGUF\x03\x00\x00\x00", "unknown extension .gguf"),
}


def test_files():
    folder, path = cli.temporary_folder()
    with folder:
        for name, (content, says) in FILES.items():
            (path / name).write_bytes(content)
            cli.check_refused(path / name, says)
            cli.check_refused(path / name, says, "--json", "-", "--memory-limit", "64MiB")


def test_one_bad_file_among_good_ones():
    folder, path = cli.temporary_folder()
    with folder:
        (path / "a.safetensors").write_bytes(GOOD)
        (path / "b.safetensors").write_bytes(GOOD[:-1])
        result = cli.run("stats", path)
        assert result.returncode == 3 and "b.safetensors" in result.stderr, result


def test_folders_and_paths():
    folder, path = cli.temporary_folder()
    with folder:
        (path / "none").mkdir()
        cli.check_refused(path / "none", "none among 0 files")
        (path / "pickles").mkdir()
        (path / "pickles" / "pytorch_model.bin").write_bytes(b"\x80\x04N.")
        cli.check_refused(path / "pickles", "pytorch_model.bin is a pickle")
        cli.check_refused(path / "absent.safetensors", "nothing of that name")
        cli.check_refused(pathlib.Path("/dev/null"), "a device node")


def test_a_file_that_shrinks_under_the_run():
    folder, path = cli.temporary_folder()
    with folder:
        file = path / "zeros.safetensors"
        cli.sparse_safetensors(file, 512, 32 << 20)
        with subprocess.Popen([cli.PROGRAM, "stats", str(file), "--threads", "2"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as process:
            cli.wait_for_handler(process, signal.SIGBUS)
            time.sleep(0.3)
            os.truncate(file, 1 << 20)
            out, err = process.communicate(timeout=60)
        assert process.returncode == 3, (process.returncode, err)
        assert out == "" and err.count("\n") == 1 and "shrunk" in err, (out, err)


def test_usage():
    folder, path = cli.temporary_folder()
    with folder:
        good = path / "good.safetensors"
        good.write_bytes(GOOD)
        for arguments in ((), ("nonsense",), ("stats",), ("stats", good, "--threads", "0"),
                          ("stats", good, "--threads", "many"), ("stats", good, "--memory-limit", "lots"),
                          ("stats", good, "--memory-limit", "-5"), ("stats", good, "--memory-limit", "0"),
                          ("stats", good, "--memory-limit", "99999999999999999999"),
                          ("stats", good, "--device", "nonsense"), ("stats", good, "--unknown"),
                          ("stats", good, "--json", path / "absent" / "out.json"), ("stress", "nonsense"),
                          ("stress", "reduce", "--iterations", "-1"), ("bench",), ("bench", "alloc", "--threads", "1,x")):
            result = cli.run(*arguments)
            assert result.returncode == 2, (arguments, result)
            assert result.stderr or not arguments, (arguments, result)


if __name__ == "__main__":
    cli.main(sys.modules[__name__])
