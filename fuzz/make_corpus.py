#!/usr/bin/env python3
"""Writes the seeds under fuzz/corpus: small valid files and one file a kind of damage."""
import io
import json
import pathlib
import pickle
import struct
import zipfile
import zlib

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


INDEX = {
    "two": {"metadata": {"total_size": 8}, "weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}},
    "folder": {"weight_map": {"a": "./sub//m.safetensors"}},
    "escapes": b'{"weight_map":{"\\u00e9\\n\\"":"m\\u00e9.safetensors"}}',
    "metadata": {"weight_map": {"a": "m.safetensors"}, "metadata": {"x": [1, {"y": [None, True, -2.5]}]}, "f": "pt"},
    "dots": {"weight_map": {"a": "../m.safetensors"}},
    "absolute": {"weight_map": {"a": "/m.safetensors"}},
    "zero": b'{"weight_map":{"a":"\\u0000.safetensors"}}',
    "twice": b'{"weight_map":{"a":"m.safetensors","a":"m.safetensors"}}',
    "kinds": {"weight_map": {"a": 1}},
    "array": [],
    "no_tensors": {"weight_map": {}},
    "nesting": b'{"a":' + b"[" * 70,
    "truncated": b'{"weight_map":{"a":"m.s',
}


def npz(*members, zip64=False, piped=False):
    """members: (name, content, whether deflated)."""
    class Pipe(io.BytesIO):
        def seekable(self):
            return not piped

        def tell(self):
            if piped:
                raise OSError
            return super().tell()

    out = Pipe()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content, deflated in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
            with archive.open(info, "w", force_zip64=zip64) as member:
                member.write(content)
    return out.getvalue()


ARRAY = npy(np.arange(40, dtype="<i2"))
STORED = npz(("a.npy", ARRAY, False), ("b/c.npy", ARRAY, False))
DEFLATED = npz(("a.npy", ARRAY, True), ("b.npy", ARRAY, True))

NPZ = {
    "stored": STORED,
    "deflated": DEFLATED,
    "zip64": npz(("a.npy", ARRAY, False), ("b.npy", ARRAY, True), zip64=True),
    "piped": npz(("a.npy", ARRAY, False), ("b.npy", ARRAY, True), piped=True),
    "folder": npz(("f/", b"", False), ("f/a.npy", ARRAY, True)),
    "none": npz(),
    "text": npz(("a.txt", b"hello", False)),
    "twice": DEFLATED.replace(b"b.npy", b"a.npy"),
    "zero_in_name": STORED.replace(b"b/c.npy", b"b\0c.npy"),
    "encrypted": DEFLATED.replace(b"PK\1\2\x14\3\x14\0\0", b"PK\1\2\x14\3\x14\0\1"),
    "checksum": DEFLATED.replace(struct.pack("<I", zlib.crc32(ARRAY)), bytes(4)),
    "truncated": DEFLATED[:-9],
}


def zip64_end():
    local = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 45, 0, 0, 0, 0, zlib.crc32(ARRAY), 2**32 - 1, 2**32 - 1, 5, 20)
    sizes = struct.pack("<QQ", len(ARRAY), len(ARRAY))
    data = local + b"a.npy" + struct.pack("<HH", 1, 16) + sizes + ARRAY
    entry = struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\1\2", 45, 45, 0, 0, 0, 0, zlib.crc32(ARRAY), 2**32 - 1, 2**32 - 1,
                        5, 28, 0, 0, 0, 0, 2**32 - 1) + b"a.npy" + struct.pack("<HH", 1, 24) + sizes + bytes(8)
    record = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, len(entry), len(data))
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, len(data) + len(entry), 1)
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 2**16 - 1, 2**16 - 1, 2**32 - 1, 2**32 - 1, 0)
    return data + entry + record + locator + end


NPZ["zip64_end"] = zip64_end()  # with every number where only zip64 has room for it


RMM_CSV_HEADER = b"Thread,Time,Action,Pointer,Size,Stream\n"
RMM_CSV_LINES = (b"1979932,14:21:19.998533,allocate,0x30a000000,256,0x2\n"
                 b"140573312345856,15:32:13:123456,allocate,0x7f8a40000400,2048,0\n"
                 b"1979932,14:21:20.000000,allocate failure,(nil),99999999999,0x2\n"
                 b"1979932,14:21:32.661875,free,0x30a000000,256,0x2\n")

RMM_CSV = {
    "four": RMM_CSV_HEADER + RMM_CSV_LINES,
    "dos": (RMM_CSV_HEADER + RMM_CSV_LINES).replace(b"\n", b"\r\n"),
    "nothing": RMM_CSV_HEADER,
    "null": RMM_CSV_HEADER + b"1,t,allocate,(nil),0,0\n",
    "fields": RMM_CSV_HEADER + b"1,t,allocate,0x1,8\n",
    "huge": RMM_CSV_HEADER + b"1,t,allocate,0x1,281474976710656,0\n",
    "truncated": (RMM_CSV_HEADER + RMM_CSV_LINES)[:-9],
}


def traced(action, addr=0x7F0000000000, size=100, stream=0, **more):
    return {"action": action, "addr": addr, "size": size, "stream": stream, "time_us": 1700000000000000,
            "frames": [{"filename": "model.py", "name": "forward", "line": 12}], **more}


TRACE = [traced("segment_alloc"), traced("alloc"), traced("free_requested"), traced("free_completed"),
         traced("oom", device_free=5), traced("alloc", stream=94012345678912), traced("snapshot", weight=1.5)]
SNAPSHOT = {"segments": [], "device_traces": [[], TRACE], "allocator_settings": {"x": None, "y": -1, "z": 1 << 70}}

TORCH_SNAPSHOT = {
    **{f"protocol{protocol}": pickle.dumps(SNAPSHOT, protocol) for protocol in (2, 3, 4, 5)},
    "json": json.dumps(SNAPSHOT).encode(),
    "bytes": pickle.dumps({"device_traces": [[b"x", bytearray(b"y"), (1, 2, 3, 4), True]]}, 5),
    "set": pickle.dumps({"device_traces": [{1}]}, 4),
    "global": pickle.dumps(json.dumps, 4),
    "global2": pickle.dumps(json.dumps, 2),
    "itself": b"\x80\x04}\x94\x8c\x0ddevice_tracesh\x00s.",
    "twice": b"\x80\x04}\x8c\x0ddevice_traces](]\x94}(\x8c\x06action\x8c\x08snapshotuah\x00es.",
    "no_traces": pickle.dumps({"segments": []}),
    "truncated": pickle.dumps(SNAPSHOT, 4)[:-40],
}


def main():
    index = {name: text if isinstance(text, bytes) else json.dumps(text).encode() for name, text in INDEX.items()}
    for name, files in (("safetensors", SAFETENSORS), ("npy", NPY), ("npz", NPZ), ("safetensors_index", index),
                        ("rmm_csv", RMM_CSV), ("torch_snapshot", TORCH_SNAPSHOT)):
        folder = CORPUS / name
        folder.mkdir(parents=True, exist_ok=True)
        for seed, content in files.items():
            (folder / seed).write_bytes(content)


if __name__ == "__main__":
    main()
