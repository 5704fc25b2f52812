"""What a PyTorch user with a GPU gets for the work of `millrace bench`, in a process of its own.

The bench embeds this file and drives it: one JSON object a line on standard input, {"do": name, ...},
one a line back. The first line out says which PyTorch and which GPU this is, or why there is none. Times are
taken in here, so that what the pipe costs is in none of them.
"""

import json
import math
import mmap
import platform
import struct
import sys
import threading
import time


def answer(**fields):
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


try:
    import torch
    if not torch.cuda.is_available():
        raise RuntimeError("PyTorch sees no GPU")
    torch.zeros(1, device="cuda")
except Exception as error:  # a broken installation raises whatever it likes
    answer(absent=f"{type(error).__name__}: {error}")
    sys.exit()

STORED = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}


def statistics(tensor):
    """What millrace.Statistics holds; sums and extremes over the finite values."""
    nan = int(tensor.isnan().sum())
    inf = int(tensor.isinf().sum())
    zeros = int((tensor == 0).sum())
    finite = tensor.float()
    if nan + inf:
        finite = finite[finite.isfinite()]
    found = {"nan": nan, "inf": inf, "zeros": zeros}
    if finite.numel():
        variance, mean = torch.var_mean(finite, correction=0)
        low, high = torch.aminmax(finite)
        found.update(mean=float(mean), std=float(variance) ** 0.5, min=float(low), max=float(high),
                     absmax=max(abs(float(low)), abs(float(high))))
    return found


REDUCTIONS = {
    "sum": lambda tensor, axes: tensor.sum(axes) if axes else tensor.sum(),
    "mean": lambda tensor, axes: tensor.mean(axes) if axes else tensor.mean(),
    "prod": lambda tensor, axes: tensor.prod(),
    "min": lambda tensor, axes: tensor.amin(axes) if axes else tensor.amin(),
    "max": lambda tensor, axes: tensor.amax(axes) if axes else tensor.amax(),
    "argmax": lambda tensor, axes: tensor.argmax(),
    "max with index": lambda tensor, axes: tensor.max(axes[0]),
    "statistics": lambda tensor, axes: statistics(tensor),
}
TYPES = {"f32": (torch.float32, torch.int32, 9, 0x3F800000), "bf16": (torch.bfloat16, torch.int16, 25, 0x3F80),
         "f16": (torch.float16, torch.int16, 22, 0x3C00)}
values = {}


def input_values(dtype, elements, inputs, device):
    """So many times the same values in [1, 2), those that the bench reduces."""
    key = dtype, elements, inputs, device
    if key not in values:
        values.clear()
        kind, bits_kind, shift, one = TYPES[dtype]
        first = torch.empty(elements, dtype=kind, device=device)
        for begin in range(0, elements, 1 << 24):  # the numbers take several times the memory of the values
            end = min(elements, begin + (1 << 24))
            bits = (torch.arange(begin, end, device=device) * 2654435761 & 0xFFFFFFFF) >> shift | one
            first[begin:end] = bits.to(bits_kind).view(kind)
        values[key] = [first] + [first.clone() for _ in range(inputs - 1)]
    return values[key]


def reduce(dtype, elements, op, shape, strides, axes, inputs, launches, device):
    size = 1
    for length in shape:
        size *= length
    tensors = [tensor.as_strided(shape, strides) for tensor in input_values(dtype, elements, inputs, device)]
    run = REDUCTIONS[op]
    run(tensors[-1], axes)
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    with torch.cuda.device(device):
        begin.record()
        for i in range(launches):
            result = run(tensors[i % inputs], axes)
        end.record()
        end.synchronize()
    if op == "statistics":
        return {"seconds": begin.elapsed_time(end) / 1e3 / launches, "checks": [result["mean"] * size]}
    parts = result if isinstance(result, tuple) else (result,)
    checks = [float(part.double().sum()) for part in parts]
    # JSON has no infinity.
    return {"seconds": begin.elapsed_time(end) / 1e3 / launches,
            "checks": [check if math.isfinite(check) else None for check in checks]}


def latency(elements, launches, clean, device):
    """The median time of a full sum, each after 256 MiB were written, or with clean read."""
    with torch.cuda.device(device):
        tensor = torch.full((elements,), 0.25, device=device)
        memory = torch.zeros(1 << 28, dtype=torch.int8, device=device)
        events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(launches)]
        tensor.sum()
        memory.view(torch.int32).max()
        for begin, end in events:
            memory.view(torch.int32).max() if clean else memory.zero_()
            begin.record()
            tensor.sum()
            end.record()
        torch.cuda.synchronize()
    return {"seconds": sorted(begin.elapsed_time(end) for begin, end in events)[launches // 2] / 1e3}


def stats(path, device):
    """The statistics of every tensor of a .safetensors file, one after the other."""
    start = time.perf_counter()
    # Writable, since torch warns of memory that is not; nobody writes.
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as content:
        (length,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8:8 + length])
        tensors = []
        for info in sorted(header.values(), key=lambda info: info["data_offsets"]):
            dtype = STORED[info["dtype"]]
            begin, end = info["data_offsets"]
            tensor = torch.frombuffer(content, dtype=dtype, count=(end - begin) // dtype.itemsize,
                                      offset=8 + length + begin)
            tensors.append(statistics(tensor.to(device)))
            del tensor  # the mapping closes only when nothing looks into it
    return {"seconds": time.perf_counter() - start, "tensors": tensors}


def small(threads, seconds, side):
    """Reductions of side * side floats, four kinds in turn; operations of all threads a second, whose results all
    enter a checksum of the thread's that is looked at every 64 operations."""
    done = [0] * threads
    end = [0.0]

    def work(thread):
        with torch.cuda.stream(torch.cuda.Stream()):
            flat = (torch.arange(side * side, device="cuda") % 7).float()
            square = flat.view(side, side)
            total = float(flat.sum())
            expected = 16 * (total + total + total / side + 6)
            begin.wait()
            operations = 0
            while time.perf_counter() < end[0]:
                checksum = torch.zeros((), dtype=torch.float64, device="cuda")
                for _ in range(16):
                    for result in (flat.sum(), square.sum(0), square.mean(1), flat.amax()):
                        checksum += result.sum()
                if float(checksum) != expected:
                    raise RuntimeError(f"a checksum of {float(checksum)} instead of {expected}")
                operations += 64
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
    if not all(done):
        raise RuntimeError("a thread has failed")
    return {"operations_per_second": sum(done) / elapsed}


answer(torch=f"{torch.__version__} on {torch.cuda.get_device_name()}", python=platform.python_version())
for line in sys.stdin:
    request = json.loads(line)
    try:
        answer(**{"reduce": reduce, "latency": latency, "small": small, "stats": stats}[request.pop("do")](**request))
    except Exception as error:  # the bench shows it in the column's place
        answer(error=f"{type(error).__name__}: {error}")
