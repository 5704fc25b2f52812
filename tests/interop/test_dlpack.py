#!/usr/bin/env python3
"""What other libraries make of our DLPack tensors: NumPy, and PyTorch where it is installed.

The C interface allocates, fills and gives tensors away through ctypes; nothing of ours runs in Python but this.
"""
import ctypes
import gc
import os
import sys
import threading

try:
    import numpy as np
except ImportError:
    print("skipped: this Python has no NumPy; install python3-numpy")
    sys.exit(77)

try:
    import torch
except ImportError:
    torch = None

BUILD = os.environ["MILLRACE_BUILD_DIR"]
LIBRARY = os.path.join(BUILD, "lib", "libmillrace.so")
DTYPES = ["f64", "f32", "f16", "bf16", "i64", "i32", "i16", "i8", "u8", "bool"]
NUMPY = {"f64": np.float64, "f32": np.float32, "f16": np.float16, "i64": np.int64, "i32": np.int32,
         "i16": np.int16, "i8": np.int8, "u8": np.uint8, "bool": np.bool_}
NUMPY_TAKES_BOOLS = tuple(int(part) for part in np.__version__.split(".")[:2]) >= (1, 25)


def option(name):
    """What the build was configured with."""
    with open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8") as cache:
        for line in cache:
            if line.startswith(name + ":"):
                return line.split("=", 1)[1].strip()
    return ""


if option("MILLRACE_SANITIZE"):
    print("skipped: a library under a sanitizer can't be loaded into an interpreter that is not")
    sys.exit(77)
if not os.path.exists(LIBRARY):
    print("skipped: this build has no shared library (MILLRACE_SHARED is off)")
    sys.exit(77)

c = ctypes.CDLL(LIBRARY)
c.millrace_last_error.restype = ctypes.c_char_p


class Stream(ctypes.Structure):
    _fields_ = [("device", ctypes.c_uint64), ("slot", ctypes.c_int32), ("generation", ctypes.c_uint32)]


class MemoryStats(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in
                ("live", "cached", "pending", "committed", "limit", "peak_live", "peak_committed", "allocations",
                 "frees")]


def check(status):
    if status != 0:
        raise AssertionError(f"status {status}: {c.millrace_last_error().decode()}")


class Device:
    def __init__(self):
        self.handle = ctypes.c_void_p()
        check(c.millrace_device_open(b"host", ctypes.c_uint64(256 << 20), ctypes.byref(self.handle)))

    def live(self):
        stats = MemoryStats()
        check(c.millrace_device_memory(self.handle, ctypes.byref(stats)))
        return stats.live

    def allocate(self, contents):
        """Memory with these bytes in it."""
        address = ctypes.c_void_p()
        check(c.millrace_allocate(self.handle, ctypes.c_size_t(len(contents)), ctypes.c_size_t(0),
                                  ctypes.byref(address)))
        stream = Stream()
        check(c.millrace_device_stream(self.handle, ctypes.byref(stream)))
        check(c.millrace_stream_copy(stream, address, contents, ctypes.c_size_t(len(contents))))
        check(c.millrace_stream_wait(stream))
        return address

    def release(self):
        c.millrace_device_release(self.handle)


capsule_new = ctypes.pythonapi.PyCapsule_New
capsule_new.restype = ctypes.py_object
capsule_new.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


class Exported:
    """What from_dlpack asks: a tensor that can be taken once. max_version says which struct the consumer knows."""

    def __init__(self, device, array, dtype, shape=None, strides=None):
        self.address = device.allocate(np.ascontiguousarray(array).tobytes())
        shape = array.shape if shape is None else shape
        numbers = ctypes.c_int64 * len(shape)
        self.arguments = (device.handle, self.address, ctypes.c_int(DTYPES.index(dtype)),
                          ctypes.c_int32(len(shape)), numbers(*shape), numbers(*strides) if strides else None)

    def __dlpack_device__(self):
        return (1, 0)

    def __dlpack__(self, *, stream=None, max_version=None, **_):
        tensor = ctypes.c_void_p()
        if max_version is not None and max_version[0] >= 1:
            check(c.millrace_to_dlpack(*self.arguments, ctypes.c_int32(0), ctypes.byref(tensor)))
            return capsule_new(tensor, b"dltensor_versioned", None)
        check(c.millrace_to_dlpack_unversioned(*self.arguments, ctypes.byref(tensor)))
        return capsule_new(tensor, b"dltensor", None)


def numpy_types(device):
    for dtype, numpy_type in NUMPY.items():
        if dtype == "bool" and not NUMPY_TAKES_BOOLS:
            continue  # NumPy learned of kDLBool in 1.25
        expected = np.arange(24).astype(numpy_type).reshape(4, 6)
        taken = np.from_dlpack(Exported(device, expected, dtype))
        assert taken.dtype == numpy_type, (dtype, taken.dtype)
        assert np.array_equal(taken, expected), (dtype, taken)


def numpy_strides(device):
    numbers = np.arange(48, dtype=np.int32)
    taken = np.from_dlpack(Exported(device, numbers, "i32", shape=(4, 3), strides=(1, 16)))
    assert np.array_equal(taken, numbers.reshape(3, 16).T[:4]), taken
    assert np.from_dlpack(Exported(device, numbers, "i32", shape=(), strides=None)) == 0


def lifetimes(device):
    before = device.live()
    taken = np.from_dlpack(Exported(device, np.arange(1000.0), "f64"))
    view = taken[10:20]
    del taken
    gc.collect()
    assert device.live() > before, "the memory went while an array looked at it"
    assert view.sum() == 145, view
    # The last reference goes on another thread.
    holder = [view]
    del view
    thread = threading.Thread(target=holder.clear)
    thread.start()
    thread.join()
    gc.collect()
    assert device.live() == before, "the deleter did not free"


def outlives_the_handle():
    device = Device()
    taken = np.from_dlpack(Exported(device, np.arange(100.0), "f64"))
    device.release()
    assert taken.sum() == 4950, taken


def torch_types(device):
    kinds = {"f64": torch.float64, "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16,
             "i64": torch.int64, "i32": torch.int32, "i16": torch.int16, "i8": torch.int8, "u8": torch.uint8,
             "bool": torch.bool}
    for dtype, kind in kinds.items():
        expected = (torch.arange(24) % 2 if dtype == "bool" else torch.arange(24)).to(kind).reshape(4, 6)
        stored = expected.view(torch.int16) if dtype == "bf16" else expected
        taken = torch.from_dlpack(Exported(device, stored.numpy(), dtype))
        assert taken.dtype == kind, (dtype, taken.dtype)
        assert torch.equal(taken, expected), (dtype, taken)


def main():
    device = Device()
    numpy_types(device)
    numpy_strides(device)
    lifetimes(device)
    outlives_the_handle()
    if torch is not None:
        torch_types(device)
    gc.collect()
    assert device.live() == 0, device.live()
    device.release()
    print(f"NumPy {np.__version__}, " + (f"PyTorch {torch.__version__}" if torch else "PyTorch is not installed"))
    return 0


sys.exit(main())
