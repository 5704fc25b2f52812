"""What a NumPy user gets for the work of `millrace bench`, in a process of its own.

The bench embeds this file and drives it: one JSON object a line on standard input, {"do": name, ...},
one a line back. The first line out says which NumPy this is, or why there is none. Times are taken in
here, so that what the pipe costs is in none of them.
"""

import json
import mmap
import os
import platform
import struct
import sys
import threading
import time


def answer(**fields):
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


# The dot products below; everything else in here is on one thread anyway.
os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
try:
    import numpy as np
except Exception as error:  # a broken installation raises whatever it likes
    answer(absent=f"{type(error).__name__}: {error}")
    sys.exit()

np.seterr(all="ignore")


def widen(array, dtype):
    """bf16 is no type of NumPy's: its users shift the bits into f32."""
    if dtype == "bf16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    if dtype == "f16":
        return array.astype(np.float32)  # reducing float16 itself takes several times as long
    return array


PIECE = 1 << 16  # elements whose temporaries stay in the cache: several times as fast as a whole tensor's


def statistics(array, dtype):
    """What millrace.Statistics holds; sums and extremes over the finite values, accumulated in f64."""
    nan = inf = zeros = count = 0
    total = mean = m2 = 0.0
    low, high = np.inf, -np.inf
    for begin in range(0, array.size, PIECE):
        piece = widen(array[begin:begin + PIECE], dtype)
        zeros += int(np.count_nonzero(piece == 0))
        finite = np.isfinite(piece)
        others = piece.size - int(np.count_nonzero(finite))
        if others:
            nans = int(np.count_nonzero(np.isnan(piece)))
            nan, inf = nan + nans, inf + others - nans
            piece = piece[finite]
            if piece.size == 0:
                continue
        low, high = min(low, float(piece.min())), max(high, float(piece.max()))
        wide = piece.astype(np.float64)
        piece_sum = float(wide.sum())
        piece_mean = piece_sum / piece.size
        wide -= piece_mean
        delta = piece_mean - mean
        both = count + piece.size
        m2 += float(np.dot(wide, wide)) + delta * delta * count * piece.size / both
        mean += delta * piece.size / both
        total, count = total + piece_sum, both
    found = {"nan": nan, "inf": inf, "zeros": zeros}
    if count:
        found.update(sum=total, mean=total / count, std=(m2 / count) ** 0.5, min=low, max=high,
                     absmax=max(abs(low), abs(high)))
    return found


def max_with_index(array, axes):
    index = np.expand_dims(array.argmax(axis=axes), axes)
    return np.take_along_axis(array, index, axis=axes), index


REDUCTIONS = {
    "sum": lambda array, axes: array.sum(axis=axes),
    "mean": lambda array, axes: array.mean(axis=axes),
    "prod": lambda array, axes: array.prod(axis=axes),
    "min": lambda array, axes: array.min(axis=axes),
    "max": lambda array, axes: array.max(axis=axes),
    "argmax": lambda array, axes: array.argmax(axis=axes),
    "max with index": max_with_index,
}
inputs = {}


def input_values(dtype, elements):
    """The same values in [1, 2) that the bench reduces."""
    if (dtype, elements) not in inputs:
        inputs.clear()
        bits = np.arange(elements, dtype=np.uint32)
        bits *= np.uint32(2654435761)
        bits >>= np.uint32(25 if dtype == "bf16" else 9)
        bits |= np.uint32(0x3F80 if dtype == "bf16" else 0x3F800000)
        inputs[dtype, elements] = bits.astype(np.uint16) if dtype == "bf16" else bits.view(np.float32)
    return inputs[dtype, elements]


def reduce(dtype, elements, op, shape, axes):
    array = input_values(dtype, elements)[:int(np.prod(shape))].reshape(shape)
    axes = None if not axes else axes[0] if len(axes) == 1 else tuple(axes)
    start = time.perf_counter()
    if op == "statistics":
        result = statistics(array, dtype)["sum"]
    else:
        result = REDUCTIONS[op](widen(array, dtype), axes)
    seconds = time.perf_counter() - start
    parts = result if isinstance(result, tuple) else (result,)
    checks = [float(np.sum(part, dtype=np.float64)) for part in parts]
    # JSON has no infinity.
    return {"seconds": seconds, "checks": [check if np.isfinite(check) else None for check in checks]}


def small(threads, seconds, side):
    """Reductions of side * side floats, four kinds in turn; operations of all threads a second."""
    done = [0] * threads
    end = [0.0]

    def work(thread):
        flat = np.full(side * side, thread + 1, dtype=np.float32)
        square = flat.reshape(side, side)
        begin.wait()
        operations = 0
        while time.perf_counter() < end[0]:
            np.sum(flat)
            square.sum(0)
            square.mean(1)
            flat.max()
            operations += 4
        done[thread] = operations

    def set_end():
        end[0] = time.perf_counter() + seconds

    begin = threading.Barrier(threads, action=set_end)
    workers = [threading.Thread(target=work, args=(thread,)) for thread in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    elapsed = time.perf_counter() - (end[0] - seconds)
    return {"operations_per_second": sum(done) / elapsed}


STORED = {"BF16": ("bf16", np.uint16), "F16": ("f16", np.float16), "F32": ("f32", np.float32)}


def stats(path):
    """The statistics of every tensor of a .safetensors file, one after the other."""
    start = time.perf_counter()
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as content:
        (length,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8:8 + length])
        tensors = []
        for info in sorted(header.values(), key=lambda info: info["data_offsets"]):
            dtype, stored = STORED[info["dtype"]]
            begin, end = info["data_offsets"]
            array = np.frombuffer(content, stored, (end - begin) // np.dtype(stored).itemsize, 8 + length + begin)
            tensors.append(statistics(array, dtype))
            del array  # the mapping closes only when nothing looks into it
    return {"seconds": time.perf_counter() - start, "tensors": tensors}


answer(numpy=np.__version__, python=platform.python_version())
for line in sys.stdin:
    request = json.loads(line)
    try:
        answer(**{"reduce": reduce, "small": small, "stats": stats}[request.pop("do")](**request))
    except Exception as error:  # the bench shows it in the column's place
        answer(error=f"{type(error).__name__}: {error}")
