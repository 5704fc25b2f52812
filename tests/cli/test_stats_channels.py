#!/usr/bin/env python3
"""stats --channel against NumPy: every type, rank and dimension, in one piece and in many."""

import sys

import cli
import stats_reference

MIB = 1 << 20
# Channels in one piece, in several rows of pieces, wider than a piece, and more than a batch has results for.
SHAPES = [(5,), (3, 4), (2, 3, 5), (7, 1, 4), (2, 1, 3, 1, 2, 1, 2, 1, 2, 3), (700, 600), (3, 400_000), (2, 9_001)]


def check_channels(row, array, dim):
    label = f"{row['file']} {row['name']} {array.shape} dimension {dim}"
    if not -array.ndim <= dim < array.ndim:
        assert row["channel_dim"] is None and row["not_split"] == f"no dimension {dim}", (label, row)
        assert "channels" not in row, label
        return
    assert row["channel_dim"] == dim, label
    channels = cli.numpy().moveaxis(array, dim, 0)
    assert len(row["channels"]) == channels.shape[0], (label, len(row["channels"]))
    # All of them where they are few: NumPy takes its time for each.
    for i in range(0, len(channels), max(1, len(channels) // 500)):
        channel = {**row["channels"][i], "file": label, "name": f"channel {i}", "dtype": row["dtype"]}
        stats_reference.check_row(channel, channels[i])
    flat = channels.reshape(len(channels), -1)
    zero = (flat == 0).all(axis=1).nonzero()[0].tolist()
    alike = (flat == flat[:, :1]).all(axis=1) & (flat[:, 0] != 0) & (flat.shape[1] > 1)
    same = alike.nonzero()[0].tolist()
    assert row["dead"] == zero and row["constant"] == same, (label, row["dead"], zero, row["constant"], same)


def make_arrays():
    np = cli.numpy()
    random = np.random.default_rng(7)
    arrays = {}
    for dtype in ("F64", "F32", "F16", "I32", "U8"):
        for i, shape in enumerate(SHAPES):
            if dtype != "F32" and np.prod(shape) > 10_000:
                continue
            array = (random.standard_normal(shape) * 9).astype(cli.NUMPY_NAMES[dtype])
            if array.ndim > 1:
                if i % 3 == 0:
                    array[0] = 0
                elif i % 3 == 1:
                    array[:, 0] = 0
                else:
                    array[..., -1] = 1
            if dtype.startswith("F") and array.size > 20:
                array.flat[7], array.flat[11] = np.nan, np.inf
            arrays[f"{dtype}.{i}"] = (dtype, array)
    return arrays


def test_channels_of_safetensors():
    arrays = make_arrays()
    folder, path = cli.temporary_folder()
    with folder:
        file = path / "all.safetensors"
        cli.write_safetensors(file, {name: (dtype, a.shape, a.tobytes()) for name, (dtype, a) in arrays.items()})
        for dim in (0, 1, 2, 5, -1, -2):
            document = cli.run_json(file, "--channel", dim, "--threads", 2)
            assert document["run"]["channel_dim"] == dim
            dead = constant = 0
            for row in document["tensors"]:
                stats_reference.check_row(row, arrays[row["name"]][1])
                check_channels(row, arrays[row["name"]][1], dim)
                dead += len(row.get("dead", ()))
                constant += len(row.get("constant", ()))
            assert dead > 0 or dim not in (0, 1), dim
            assert constant > 0 or dim != -1, dim


def test_channels_of_arrays_in_either_order():
    np = cli.numpy()
    random = np.random.default_rng(8)
    array = random.standard_normal((30, 40, 50)).astype("f4")
    folder, path = cli.temporary_folder()
    with folder:
        np.save(path / "c.npy", array)
        np.save(path / "f.npy", np.asfortranarray(array))
        for dim in range(-3, 3):
            for row in cli.run_json(path, "--channel", dim)["tensors"]:
                check_channels(row, array, dim)


def test_channels_of_deflated_arrays_have_the_same_bits():
    np = cli.numpy()
    arrays = {name.replace(".", "_"): array for name, (_, array) in make_arrays().items()}
    arrays["fortran"] = np.asfortranarray(np.random.default_rng(9).standard_normal((300, 7, 200)))
    folder, path = cli.temporary_folder()
    with folder:
        np.savez(path / "stored.npz", **arrays)
        np.savez_compressed(path / "deflated.npz", **arrays)
        for dim in (0, 1, -1):
            stored, deflated = (cli.run_json(path / f"{name}.npz", "--channel", dim)["tensors"]
                                for name in ("stored", "deflated"))
            for row, same in zip(stored, deflated, strict=True):
                check_channels(row, arrays[row["name"]], dim)
                assert {**row, "file": None} == {**same, "file": None}, row["name"]
            again = cli.run_json(path / "deflated.npz", "--channel", dim, "--threads", 5, "--memory-limit", "4MiB")
            assert again["tensors"] == deflated


def test_neither_threads_nor_memory_change_a_bit():
    arrays = make_arrays()
    folder, path = cli.temporary_folder()
    with folder:
        file = path / "all.safetensors"
        cli.write_safetensors(file, {name: (dtype, a.shape, a.tobytes()) for name, (dtype, a) in arrays.items()})
        for dim in (0, -1):
            first = cli.run_json(file, "--channel", dim, "--threads", 1)["tensors"]
            for arguments in (("--threads", 3), ("--threads", 8, "--memory-limit", 4 * MIB)):
                assert cli.run_json(file, "--channel", dim, *arguments)["tensors"] == first, arguments


def test_tensors_without_elements_or_the_dimension():
    folder, path = cli.temporary_folder()
    with folder:
        file = path / "odd.safetensors"
        cli.write_safetensors(file, {"huge": ("U8", [2**40, 0], b""), "scalar": ("U8", [], b"\1"),
                                     "wide": ("U8", [(1 << 22) + 1], bytes((1 << 22) + 1)),
                                     "vector": ("U8", [2], b"\0\1")})
        rows = {row["name"]: row for row in cli.run_json(file, "--channel", 0)["tensors"]}
        assert rows["huge"]["not_split"] == "no elements" and rows["huge"]["count"] == 0, rows["huge"]
        assert rows["scalar"]["not_split"] == "no dimension 0", rows["scalar"]
        assert rows["wide"]["not_split"] == "more than 4194304 channels", rows["wide"]
        assert rows["wide"]["zeros"] == (1 << 22) + 1
        assert [c["max"] for c in rows["vector"]["channels"]] == [0.0, 1.0], rows["vector"]


def test_the_table_has_channels_and_counts_the_dead():
    folder, path = cli.temporary_folder()
    with folder:
        file = path / "sample.safetensors"
        assert cli.run("sample", file).returncode == 0
        result = cli.run("stats", file, "--channel", 0)
        assert result.returncode == 0, result
        lines = result.stdout.splitlines()
        at = next(i for i, line in enumerate(lines) if line.startswith("layers.3.mlp.down.weight"))
        assert lines[at].endswith("8 of 256 channels dead"), lines[at]
        channels = lines[at + 1:at + 257]
        assert [line.split()[0] for line in channels] == [f"[{i}]" for i in range(256)]
        assert sum(line.endswith("dead") for line in channels) == 8
        assert "34,816 channels along dimension 0; dead: 1,032, constant: 0" in result.stdout, lines[-3:]


def test_a_dimension_that_no_tensor_has():
    folder, path = cli.temporary_folder()
    with folder:
        file = path / "one.safetensors"
        cli.write_safetensors(file, {"a": ("U8", [2, 3], bytes(6))})
        for dim in (2, -3, 2**63 - 1):
            result = cli.run("stats", file, "--channel", dim)
            assert result.returncode == 2 and "at most 2" in result.stderr, result
        assert cli.run("stats", file, "--channel", "x").returncode == 2
        assert cli.run("stats", file, "--channel", 2**63).returncode == 2


if __name__ == "__main__":
    cli.numpy()
    cli.main(sys.modules[__name__])
