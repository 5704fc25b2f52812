#!/usr/bin/env python3
"""stats against NumPy: the sample checkpoint, and every element type in both formats."""

import sys

import cli
import stats_reference


def random_array(np, random, dtype, shape):
    if dtype in ("F64", "F32", "F16"):
        array = (random.standard_normal(shape) * 3).astype(cli.NUMPY_NAMES[dtype])
        flat = array.reshape(-1)
        if flat.size > 16:
            flat[3], flat[5], flat[7], flat[9], flat[11] = np.nan, np.inf, -np.inf, 0, -0.0
        return array
    if dtype == "BOOL":
        return random.integers(0, 2, shape).astype("?")
    info = np.iinfo(cli.NUMPY_NAMES[dtype])
    # 64-bit values past 2^53 have no exact double, and JSON carries doubles.
    low, high = (-2**52, 2**52) if dtype == "I64" else (info.min, info.max + 1)
    return random.integers(low, high, shape).astype(cli.NUMPY_NAMES[dtype])


SHAPES = [(), (1,), (17,), (0, 4), (3, 5, 7), (129, 65), (2, 1, 3, 1, 2, 1, 2, 1, 2), (300_001,)]


def test_sample():
    folder, path = cli.temporary_folder()
    with folder:
        file = path / "sample.safetensors"
        assert cli.run("sample", file).returncode == 0
        document = cli.run_json(file)
        assert stats_reference.check_safetensors(document, file) > 50
        assert sum(row["nan"] for row in document["tensors"]) == 3
        assert sum(row["inf"] for row in document["tensors"]) == 2
        assert sum(row["zeros"] == row["count"] for row in document["tensors"]) == 1
        run = document["run"]
        assert set(run) == {"device", "threads", "seconds", "bytes", "gb_per_s", "peak_committed_bytes",
                            "memory_limit", "peak_pinned_bytes", "files"}
        assert 0 < run["peak_committed_bytes"] <= run["memory_limit"]


def test_every_type_of_safetensors():
    np = cli.numpy()
    random = np.random.default_rng(1)
    tensors = {}
    for dtype in cli.NUMPY_NAMES:
        for i, shape in enumerate(SHAPES):
            array = random_array(np, random, dtype, shape)
            tensors[f"{dtype}.{i}"] = (dtype, shape, array.tobytes())
    for i, shape in enumerate(SHAPES):
        # Any 16 bits are a bf16: subnormals, NaNs and infinities among them.
        bits = random.integers(0, 2**16, shape).astype("<u2")
        tensors[f"BF16.{i}"] = ("BF16", shape, bits.tobytes())
    folder, path = cli.temporary_folder()
    with folder:
        file = path / "all.safetensors"
        cli.write_safetensors(file, tensors)
        for threads in (1, 5):
            document = cli.run_json(file, "--threads", threads)
            assert stats_reference.check_safetensors(document, file) == len(tensors)


def test_every_type_of_npy_in_a_folder():
    np = cli.numpy()
    random = np.random.default_rng(2)
    arrays = {}
    folder, path = cli.temporary_folder()
    with folder:
        for dtype in cli.NUMPY_NAMES:
            for order in "CF":
                array = np.asarray(random_array(np, random, dtype, (31, 17)), order=order)
                name = f"{dtype.lower()}/{order}.npy"
                (path / name).parent.mkdir(exist_ok=True)
                np.save(path / name, array)
                arrays[str(path / name)] = array
        document = cli.run_json(path)
        assert [row["file"] for row in document["tensors"]] == sorted(arrays)
        for row in document["tensors"]:
            stats_reference.check_row(row, arrays[row["file"]])
            assert row["shape"] == [31, 17]


def test_values_without_a_finite_one_are_null():
    np = cli.numpy()
    folder, path = cli.temporary_folder()
    with folder:
        np.save(path / "nan.npy", np.full(9, np.nan, "f4"))
        np.save(path / "none.npy", np.zeros((0, 3), "i4"))
        for row in cli.run_json(path)["tensors"]:
            for key in ("sum", "mean", "std", "min", "max", "absmax"):
                assert row[key] is None, (row["file"], key, row[key])


if __name__ == "__main__":
    cli.numpy()
    cli.main(sys.modules[__name__])
