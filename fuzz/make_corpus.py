#!/usr/bin/env python3
"""Writes the seeds under fuzz/corpus: small valid files and one file a kind of damage."""
import io
import json
import pathlib
import struct

import numpy as np

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def npy(array, version=None):
    out = io.BytesIO()
    np.lib.format.write_array(out, array, version=version)
    return out.getvalue()


def npy_header(text):
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


SAFETENSORS = {
    "empty": safetensors({}),
    "two": safetensors({"__metadata__": {"format": "pt"}, "a": tensor("F32", [2], 0, 8),
                        "b": tensor("BF16", [1, 2], 8, 12)}, bytes(12)),
    "scalar": safetensors({"s": tensor("F64", [], 0, 8)}, bytes(8)),
    "zero_size": safetensors({"z": tensor("I64", [0, 3], 0, 0), "y": tensor("BOOL", [1], 0, 1)}, b"\1"),
    "escapes": safetensors(rb'{"\u00e9\n\"":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"\0"),
    "overlap": safetensors({"a": tensor("U8", [2], 0, 2), "b": tensor("U8", [2], 1, 3)}, bytes(3)),
    "hole": safetensors({"a": tensor("U8", [1], 1, 2)}, bytes(2)),
    "overflow": safetensors({"a": tensor("U8", [2**32, 2**32], 0, 0)}),
    "float8": safetensors({"a": tensor("F8_E4M3", [1], 0, 1)}, bytes(1)),
    "nesting": safetensors(b'{"a":' + b"[" * 64),
    "long_header": struct.pack("<Q", 1 << 60) + b"{}",
    "truncated": safetensors({"a": tensor("F32", [2], 0, 8)}, bytes(5)),
}

NPY = {
    "f4": npy(np.zeros((2, 3), "<f4")),
    "f2_scalar": npy(np.zeros((), "<f2")),
    "i8_fortran": npy(np.asfortranarray(np.zeros((2, 2), "<i8"))),
    "bool_version2": npy(np.zeros(3, "?"), (2, 0)),
    "version3": npy(np.zeros(3, "u1"), (3, 0)),
    "big_endian": npy(np.zeros(2, ">f8")),
    "structured": npy(np.zeros(1, [("a", "<f4")])),
    "objects": npy_header(b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n") + b"\x80\x04N.",
    "python2": npy_header(b"{'descr': '<i4', 'fortran_order': False, 'shape': (1L,), }\n") + bytes(4),
    "overflow": npy_header(b"{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296), }\n"),
    "truncated": npy(np.zeros(4, "<f4"))[:-3],
}


def main():
    for name, files in (("safetensors", SAFETENSORS), ("npy", NPY)):
        folder = CORPUS / name
        folder.mkdir(parents=True, exist_ok=True)
        for seed, content in files.items():
            (folder / seed).write_bytes(content)


if __name__ == "__main__":
    main()
