#!/usr/bin/env python3
"""Random reductions and statistics through Millrace, judged by NumPy.

usage: test_reductions.py [--direct | --device NAME]

Each case runs twice: by planner and loops alone on one thread (direct), and through the public calls on the
host with four workers (device). Both must give the same bits. With --direct or --device only that way, which for
--device may be another device's, as cuda:0.
MILLRACE_BIN_DIR says where reduce_cases_driver is. MILLRACE_SEED repeats a run, MILLRACE_TEST_FULL=1
makes it four times as long.
"""
import argparse
import os
import random
import struct
import subprocess
import sys
import tempfile
import warnings

try:
    import numpy as np
except ImportError:
    print("skipped: this Python has no NumPy; install python3-numpy")
    sys.exit(77)

OPS = ["sum", "mean", "prod", "min", "max", "argmin", "argmax", "any", "all", "var", "std", "norm", "count_zero",
       "count_nan", "count_inf", "statistics"]
COUNTS = {"count_zero": lambda x: x == 0, "count_nan": lambda x: x != x, "count_inf": lambda x: np.abs(x) == np.inf}
DTYPES = ["f64", "f32", "f16", "bf16", "i64", "i32", "i16", "i8", "u8", "bool"]
FLOATS = {"f64", "f32", "f16", "bf16"}
# bf16, which NumPy lacks, is stored as its bits.
STORED = {"f64": np.float64, "f32": np.float32, "f16": np.float16, "bf16": np.uint16, "i64": np.int64,
          "i32": np.int32, "i16": np.int16, "i8": np.int8, "u8": np.uint8, "bool": np.bool_}
UNTOUCHED = 0xCD
MAX_DIMS = 8
STATISTICS = struct.Struct("<4q6d")


def bfloat_from_float(values):
    bits = np.asarray(values, np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(values), (bits >> 16) | 0x40, rounded).astype(np.uint16)


def float_from_bfloat(stored):
    return np.asarray(np.left_shift(stored, 16, dtype=np.uint32)).view(np.float32)


def values_of(stored, dtype):
    return float_from_bfloat(stored) if dtype == "bf16" else stored


def round_to(values, dtype):
    """As the type would hold them, in a form that can be compared."""
    if dtype == "bf16":
        return float_from_bfloat(bfloat_from_float(np.asarray(values, np.float32)))
    return np.asarray(values).astype(STORED[dtype])


def result_dtype(op, dtype):
    if op in ("any", "all"):
        return "bool"
    if op in ("argmin", "argmax") or op in COUNTS:
        return "i64"
    if dtype in FLOATS or op in ("min", "max"):
        return dtype
    return "i64" if op in ("sum", "prod") else "f64"


class Case:
    """One operation on a view into a buffer, and a view into another for its result."""

    def __init__(self, rng, op, dtype, shape, strides, dims, keep):
        self.op, self.dtype, self.shape, self.strides, self.dims, self.keep = op, dtype, shape, strides, dims, keep
        count = int(np.prod(shape, dtype=np.int64))
        low, high = reach(shape, strides) if count else (0, 0)
        pad = rng.randrange(4)
        self.offset = pad - low
        self.buffer = random_elements(rng, op, dtype, pad - low + high + 1 + rng.randrange(4),
                                      max(count, 1))
        self.view = strided(self.buffer, self.offset, shape, strides)
        axes = tuple(dims) if dims else tuple(range(len(shape)))
        self.axes = tuple(a % len(shape) for a in axes)
        self.correction = rng.choice([0, 1, 1, 0.5, 7]) if op in ("var", "std") else 0
        self.out_dtype = "u8" if op == "statistics" else result_dtype(op, dtype)
        if op == "statistics":
            self.out_shape, self.out_strides, self.out_offset = (), (), 0
            kept = int(np.prod([n for a, n in enumerate(shape) if a not in self.axes], dtype=np.int64))
            self.out_buffer = np.full((kept + 1) * STATISTICS.size, UNTOUCHED, np.uint8)
            return
        self.out_shape = np.sum(np.zeros(shape, np.bool_), axis=self.axes, keepdims=keep).shape
        self.out_strides = output_strides(rng, self.out_shape)
        out_count = int(np.prod(self.out_shape, dtype=np.int64))
        low, high = reach(self.out_shape, self.out_strides) if out_count else (0, 0)
        self.out_offset = rng.randrange(3) - low
        size = np.dtype(STORED[self.out_dtype]).itemsize
        self.out_buffer = np.full((self.out_offset + high + 1 + rng.randrange(3)) * size, UNTOUCHED, np.uint8)

    def __str__(self):
        return (f"{self.op} {self.dtype} shape={self.shape} strides={self.strides} dims={self.dims} "
                f"keep={self.keep} correction={self.correction} -> {self.out_dtype} strides={self.out_strides}")

    def write(self, out):
        """op, input and output type, rank, number of dims, output rank: one byte each; shape, strides,
        dims, output shape and strides: eight bytes a number; offsets of the first elements, sizes of
        the buffers, in bytes: eight bytes each; the correction, a double; the buffers."""
        out.write(struct.pack("<6B", OPS.index(self.op), DTYPES.index(self.dtype), DTYPES.index(self.out_dtype),
                              len(self.shape), len(self.dims), len(self.out_shape)))
        for numbers in (self.shape, self.strides, self.dims, self.out_shape, self.out_strides):
            out.write(struct.pack(f"<{len(numbers)}q", *numbers))
        out_size = np.dtype(STORED[self.out_dtype]).itemsize
        raw = self.buffer.tobytes()
        out.write(struct.pack("<4Qd", self.offset * self.buffer.itemsize, self.out_offset * out_size, len(raw),
                              self.out_buffer.size, self.correction))
        out.write(raw)
        out.write(self.out_buffer.tobytes())

    def judge(self, failed, data):
        """None, or what is wrong."""
        if self.op == "statistics":
            return f"refused: {data.decode()}" if failed else judge_statistics(self, data)
        try:
            bounds = reference(self)
        except ValueError as error:
            return None if failed else f"NumPy refuses it ({error})"
        if failed:
            return f"refused: {data.decode()}"
        stored = np.frombuffer(data, STORED[self.out_dtype])
        got = values_of(strided(stored, self.out_offset, self.out_shape, self.out_strides), self.out_dtype)
        low, high = bounds
        right = ((got >= low) & (got <= high)) | ((low != low) & (got != got))
        if not np.all(right):
            at = tuple(int(i) for i in np.argwhere(~np.asarray(right))[0])
            return f"at {at}: got {got[at]!r}, allowed {np.asarray(low)[at]!r} to {np.asarray(high)[at]!r}"
        touched = np.zeros(stored.size, np.bool_)
        strided(touched, self.out_offset, self.out_shape, self.out_strides)[...] = True
        untouched = np.frombuffer(data, np.uint8).reshape(stored.size, -1)[~touched]
        return None if np.all(untouched == UNTOUCHED) else "memory around the results was written"


def strided(buffer, offset, shape, strides):
    size = buffer.itemsize
    return np.lib.stride_tricks.as_strided(buffer[offset:], shape, [s * size for s in strides])


def reach(shape, strides):
    ends = [(n - 1) * s for n, s in zip(shape, strides)]
    return sum(min(e, 0) for e in ends), sum(max(e, 0) for e in ends)


def positions(case, values):
    """argmin or argmax over the case's dimensions: NumPy has it over one or all."""
    reduced = sorted(case.axes)
    kept = [a for a in range(values.ndim) if a not in reduced]
    count = int(np.prod([values.shape[a] for a in reduced], dtype=np.int64))
    shape = [values.shape[a] for a in kept]
    if 0 in shape:
        return np.zeros(case.out_shape, np.int64)
    flat = np.transpose(values, kept + reduced).reshape(shape + [count])
    return getattr(np, case.op)(flat, axis=-1).reshape(case.out_shape)


def reference(case):
    """The least and the largest right result. Raises ValueError where NumPy does."""
    op, dtype, out = case.op, case.dtype, case.out_dtype
    arguments = {"axis": case.axes, "keepdims": case.keep}
    values = values_of(case.view, dtype)
    if op in ("argmin", "argmax"):
        exact = positions(case, values)
        return exact, exact
    if op in COUNTS:
        exact = np.sum(COUNTS[op](values), **arguments)
        return exact, exact
    if op in ("min", "max", "any", "all"):
        exact = getattr(np, op)(values, **arguments)
        return exact, exact
    if out == "i64":
        exact = getattr(np, op)(values, dtype=np.int64, **arguments)
        return exact, exact
    wide = values.astype(np.longdouble)
    count = int(np.prod([case.shape[a] for a in case.axes], dtype=np.int64))
    epsilon = np.longdouble(2.0 ** (-53 if out == "f64" else -24))
    # Chains of at most 128 additions, a tail, then a balanced tree.
    steps = 160 + np.log2(max(count, 1))
    if op in ("var", "std"):
        exact, error = spread(case, wide, count, steps, epsilon)
    elif op == "norm":
        exact = np.sqrt(np.sum(wide * wide, **arguments))
        error = steps * epsilon * exact
    else:
        exact = getattr(np, op)(wide, **arguments)
        error = 2 * count * epsilon * np.abs(exact)
        if op != "prod":
            error = steps * epsilon * getattr(np, op)(np.abs(wide), **arguments)
    error = np.where(np.isfinite(exact), error, 0)
    return round_to(exact - error, out), round_to(exact + error, out)


def spread(case, wide, count, steps, epsilon):
    """var or std, and how far off rounding may put it."""
    arguments = {"axis": case.axes, "keepdims": case.keep}
    over = max(count - case.correction, 0)
    largest = np.abs(wide).max(initial=0, **arguments)
    # In double: each distance from the mean is off by what rounding costs where values are far from zero.
    off = np.sqrt(count) * 1e-14 * largest
    m2 = np.var(wide, **arguments) * count
    m2_error = steps * epsilon * m2 * 4 + (np.sqrt(m2) + off) ** 2 - m2
    low, high = np.maximum(m2 - m2_error, 0) / np.longdouble(over), (m2 + m2_error) / np.longdouble(over)
    exact = m2 / np.longdouble(over)
    if case.op == "std":
        low, high, exact = np.sqrt(low), np.sqrt(high), np.sqrt(exact)
    return exact, np.maximum(high - exact, exact - low)


def judge_statistics(case, data):
    values = values_of(case.view, case.dtype)
    kept = [a for a in range(values.ndim) if a not in case.axes]
    reduced = [a for a in range(values.ndim) if a in case.axes]
    rows = np.transpose(values, kept + reduced).reshape(
        int(np.prod([values.shape[a] for a in kept], dtype=np.int64)),
        int(np.prod([values.shape[a] for a in reduced], dtype=np.int64)))
    end = rows.shape[0] * STATISTICS.size
    if set(data[end:]) != {UNTOUCHED}:
        return "memory behind the results was written"
    for i, row in enumerate(rows):
        at = i * STATISTICS.size
        problem = judge_one(row, case.dtype, STATISTICS.unpack(data[at:at + STATISTICS.size]))
        if problem is not None:
            return f"result {i}: {problem}"
    return None


def judge_one(values, dtype, found):
    count, nan, inf, zeros, total, mean, m2, low, high, absmax = found
    wide = values.astype(np.float64)
    finite = wide[np.isfinite(wide)]
    exact = (values.size, int(np.isnan(wide).sum()), int(np.isinf(wide).sum()), int((wide == 0).sum()),
             finite.min(initial=np.inf), finite.max(initial=-np.inf), np.abs(finite).max(initial=0))
    if (count, nan, inf, zeros, low, high, absmax) != exact:
        return f"got {(count, nan, inf, zeros, low, high, absmax)}, expected {exact}"
    if finite.size == 0:
        return None if (total, mean, m2) == (0, 0, 0) else f"got sums {(total, mean, m2)} of nothing"
    precise = finite.astype(np.longdouble)
    magnitude = np.abs(precise).sum()
    m2_exact = ((precise - precise.mean()) ** 2).sum()
    # Types of two bytes are summed in f32, f32 four at a time, as distances from a number close to the mean.
    rounding = {"f16": 1e-5, "bf16": 1e-5, "f32": 1e-7}.get(dtype, 1e-13)
    distances = 4 * np.sqrt(finite.size * m2_exact)
    slack = 1e-13 * magnitude + rounding * distances
    # What rounding costs where values are far from zero: each distance from the mean is off by that.
    off = np.sqrt(finite.size) * 1e-14 * np.abs(precise).max()
    if abs(total - precise.sum()) > slack:
        return f"sum {total!r}, expected {precise.sum()!r}"
    if abs(mean - precise.mean()) > slack / finite.size:
        return f"mean {mean!r}, expected {precise.mean()!r}"
    if abs(m2 - m2_exact) > 10 * rounding * m2_exact + (np.sqrt(m2_exact) + off) ** 2 - m2_exact:
        return f"m2 {m2!r}, expected {m2_exact!r}"
    return None


def random_elements(rng, op, dtype, count, elements):
    """count of them, of which a view sees elements, some perhaps several times."""
    generator = np.random.default_rng(rng.getrandbits(63))
    if dtype == "bool":
        return generator.random(count) < rng.choice([0.02, 0.5, 0.98])
    if dtype not in FLOATS:
        limits = np.iinfo(STORED[dtype])
        full = generator.integers(limits.min, limits.max, count, STORED[dtype], endpoint=True)
        small = generator.integers(max(limits.min, -5), 6, count, STORED[dtype])
        return full if rng.random() < 0.7 else small
    if op == "prod":  # any product of as many as there are stays within f32
        limit = min(1.0, 80 / elements)
        values = generator.choice([-1.0, 1.0], count) * np.exp2(generator.uniform(-limit, limit, count))
    else:
        scale = rng.choice([1e-6, 1.0, 1.0, 30.0])
        values = generator.standard_normal(count) * scale + rng.choice([0.0, 0.0, 10.0])
    if rng.random() < 0.3:
        values[generator.random(count) < 0.1] = 0
    if rng.random() < 0.2:
        special = generator.random(count) < rng.choice([0.0005, 0.1])
        kinds = rng.choice([[np.nan], [np.inf], [-np.inf], [np.nan, np.inf], [np.inf, -np.inf]])
        values[special] = generator.choice(kinds, int(special.sum()))
    if dtype == "bf16":
        return bfloat_from_float(values.astype(np.float32))
    return values.astype(STORED[dtype])


def random_shape(rng):
    rank = rng.choice([0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 5, 6, 7, 8])
    target = 10 ** rng.uniform(0, 4.2)
    shape = []
    for i in range(rank):
        left = target ** (1 / (rank - i))
        shape.append(max(1, int(left * 2 ** rng.uniform(-1.5, 1.5))))
        target = max(1.0, target / shape[-1])
    rng.shuffle(shape)
    if rank and rng.random() < 0.05:
        shape[rng.randrange(rank)] = 0
    if rank and rng.random() < 0.15:
        shape[rng.randrange(rank)] = 1
    return tuple(shape)


def dense_strides(rng, shape, permute, step):
    order = list(range(len(shape)))
    if permute:
        rng.shuffle(order)
    strides, stride = [0] * len(shape), 1
    for i in reversed(order):
        if step:
            stride *= rng.choice([1, 1, 2, 3])
        strides[i] = stride
        stride *= max(shape[i], 1)
    return strides


def random_strides(rng, shape):
    kind = rng.random()
    if kind < 0.35:
        return tuple(dense_strides(rng, shape, False, False))
    strides = dense_strides(rng, shape, kind < 0.8, rng.random() < 0.4)
    for i in range(len(shape)):
        if rng.random() < 0.2:
            strides[i] = -strides[i]
        if rng.random() < 0.08:
            strides[i] = 0
    if kind > 0.93:  # overlapping in any way
        strides = [rng.randrange(-7, 8) for _ in shape]
    return tuple(strides)


def output_strides(rng, shape):
    if rng.random() < 0.6 or 0 in shape:
        return tuple(dense_strides(rng, shape, False, False))
    strides = dense_strides(rng, shape, True, rng.random() < 0.5)
    return tuple(-s if rng.random() < 0.2 else s for s in strides)


def random_case(rng):
    op = rng.choice(OPS + ["sum"])
    shape = random_shape(rng)
    dims = sorted(rng.sample(range(len(shape)), rng.randint(0, len(shape))))
    rng.shuffle(dims)
    dims = [d - len(shape) if rng.random() < 0.3 else d for d in dims]
    return Case(rng, op, rng.choice(DTYPES), shape, random_strides(rng, shape), dims, rng.random() < 0.5)


def large_cases(rng):
    """Long enough for several blocks and levels on every path through the kernels."""
    shapes = [((1 << 20,), []), ((1000, 1003), [0]), ((1000, 1003), [1]), ((200_000, 3), [0]), ((3, 200_000), [1]),
              ((5, 40_000, 5), [1]), ((30, 20, 40, 50), [0, 2]), ((30, 20, 40, 50), [1, 3]), ((70_001, 17), [0])]
    for shape, dims in shapes:
        for op in OPS:
            if op == "prod":
                continue  # of so many is 0 or past what floats hold; random cases have it
            strides = dense_strides(rng, shape, rng.random() < 0.5, rng.random() < 0.3)
            few = op == "statistics" and len(dims) == 1  # more results than are worth judging one by one
            yield Case(rng, op, rng.choice(DTYPES), shape, tuple(strides), [] if few else dims, False)


def run(driver, options, cases, folder):
    """What came out of each case: did it fail, and the bytes of the result or the message."""
    cases_path, results_path = os.path.join(folder, "cases"), os.path.join(folder, "results")
    with open(cases_path, "wb") as out:
        out.write(struct.pack("<I", len(cases)))
        for case in cases:
            case.write(out)
    subprocess.run([driver, *options, cases_path, results_path], check=True)
    with open(results_path, "rb") as results:
        for _ in cases:
            failed, length = struct.unpack("<BQ", results.read(9))
            yield bool(failed), results.read(length)


def main():
    parser = argparse.ArgumentParser(description="random reductions, judged by NumPy")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--direct", action="store_true", help="planner and loops alone")
    only.add_argument("--device", metavar="NAME", help="on this device alone")
    options = parser.parse_args()
    ways = {"direct": ["--direct"], "device": ["--device", options.device or "host"]}
    if options.direct or options.device:
        ways.pop("device" if options.direct else "direct")
    driver = os.path.join(os.environ.get("MILLRACE_BIN_DIR", "."), "reduce_cases_driver")
    full = os.environ.get("MILLRACE_TEST_FULL") == "1"
    seed = int(os.environ.get("MILLRACE_SEED") or random.SystemRandom().getrandbits(32))
    print(f"seed {seed} (MILLRACE_SEED={seed} repeats this run), NumPy {np.__version__}", flush=True)
    np.seterr(all="ignore")
    warnings.simplefilter("ignore", RuntimeWarning)  # means of nothing are cases, not accidents
    rng = random.Random(seed)
    done, wrong = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(4 if full else 1):
            cases = [random_case(rng) for _ in range(3000)] + list(large_cases(rng))
            results = [list(run(driver, options, cases, folder)) for options in ways.values()]
            for case, *found in zip(cases, *results):
                done += 1
                problem = case.judge(*found[0])
                if problem is None and any(other != found[0] for other in found[1:]):
                    problem = "the device's workers give other bits than one thread"
                if problem is None:
                    continue
                wrong += 1
                if wrong <= 10:
                    print(f"case {done}: {case}: {problem}")
    print(f"{done} cases, each {' and '.join(ways)}: {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
