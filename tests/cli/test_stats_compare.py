#!/usr/bin/env python3
"""stats --compare against NumPy: which tensors differ, by how much, and what can't be compared."""

import csv
import json
import math
import sys

import cli

MIB = 1 << 20


def expected(first, second):
    """first and second: arrays of the same shape."""
    np = cli.numpy()
    with np.errstate(invalid="ignore"):
        x, y = first.reshape(-1).astype("f8"), second.reshape(-1).astype("f8")
    finite = np.isfinite(x) & np.isfinite(y)
    nan = np.isnan(x) != np.isnan(y)
    equal = (x == y) | (np.isnan(x) & np.isnan(y))
    d = y[finite] - x[finite]
    norm = np.sqrt((x[finite] ** 2).sum())
    row = {"count": x.size, "differing": int((~equal).sum()), "nan_mismatch": int(nan.sum()),
           "inf_mismatch": int((~equal & ~nan & ~finite).sum()), "max_abs": None, "rms": None, "relative": None}
    if finite.any():
        row.update(max_abs=float(np.abs(d).max()), rms=float(np.sqrt((d ** 2).mean())))
        row["relative"] = float(np.sqrt((d ** 2).sum()) / norm) if norm else (None if d.any() else 0.0)
    return row


def check_row(row, first, second):
    wanted = expected(first, second)
    for key, value in wanted.items():
        if key in ("rms", "relative") and value is not None:
            assert math.isclose(row[key], value, rel_tol=1e-9), (row, key, value)
        else:
            assert row[key] == value, (row, key, value)
    same_type = row["first"]["dtype"] == row["second"]["dtype"]
    assert row["identical"] == (same_type and first.tobytes() == second.tobytes()), row


def compare(first, second, *arguments):
    """Returns the exit code and the document."""
    result = cli.run("stats", first, "--compare", second, "--json", "-", *arguments)
    assert result.returncode in (0, 1), result
    return result.returncode, json.loads(result.stdout)


def save(path, arrays):
    names = {"f8": "F64", "f4": "F32", "f2": "F16", "i8": "I64", "i4": "I32", "i2": "I16", "i1": "I8", "u1": "U8",
             "b1": "BOOL"}
    cli.write_safetensors(path, {name: (names[a.dtype.str[1:]], a.shape, a.tobytes()) for name, a in arrays.items()})


def test_every_type_against_numpy():
    np = cli.numpy()
    random = np.random.default_rng(5)
    first, second = {}, {}
    for dtype in cli.NUMPY_NAMES.values():
        for shape in ((), (17,), (0, 3), (129, 65), (400_001,)):
            a = (random.standard_normal(shape) * 50).astype(dtype)
            a = np.asarray(a)
            b = a.copy()
            if b.size > 10:
                b.flat[:: max(b.size // 7, 1)] = 1
                if dtype in ("<f8", "<f4", "<f2"):
                    a.flat[2], b.flat[3], b.flat[4], a.flat[5] = np.nan, np.nan, np.inf, -np.inf
                    a.flat[6], b.flat[6] = np.nan, np.nan
            first[f"{dtype} {shape}"], second[f"{dtype} {shape}"] = a, b
    first["signs"], second["signs"] = np.zeros(3, "f4"), -np.zeros(3, "f4")
    folder, path = cli.temporary_folder()
    with folder:
        save(path / "a.safetensors", first)
        save(path / "b.safetensors", second)
        code, document = compare(path / "a.safetensors", path / "b.safetensors")
        assert code == 1
        assert [row["name"] for row in document["comparison"]] == list(first)
        for row in document["comparison"]:
            check_row(row, first[row["name"]], second[row["name"]])
        verdicts = {row["name"]: row["verdict"] for row in document["comparison"]}
        assert verdicts["signs"] == "equal values" and verdicts["<i4 (0, 3)"] == "identical", verdicts
        for threads in (1, 5):
            _, again = compare(path / "a.safetensors", path / "b.safetensors", "--threads", threads)
            assert again["comparison"] == document["comparison"]


def test_types_are_compared_by_value():
    np = cli.numpy()
    random = np.random.default_rng(6)
    wide = random.standard_normal((300, 1000)).astype("f4")
    first = {"half": wide, "double": wide, "whole": np.arange(100, dtype="i4"), "flags": np.array([True, False])}
    second = {"half": wide.astype("f2"), "double": wide.astype("f8"), "whole": np.arange(100, dtype="f4"),
              "flags": np.array([1, 2], "u1")}
    folder, path = cli.temporary_folder()
    with folder:
        save(path / "a.safetensors", first)
        save(path / "b.safetensors", second)
        for a, b, x, y in (("a", "b", first, second), ("b", "a", second, first)):
            code, document = compare(path / f"{a}.safetensors", path / f"{b}.safetensors")
            assert code == 1
            verdicts = {row["name"]: row["verdict"] for row in document["comparison"]}
            assert verdicts == {"half": "dtype and values differ", "double": "dtype differs", "whole": "dtype differs",
                                "flags": "dtype and values differ"}, verdicts
            for row in document["comparison"]:
                check_row(row, x[row["name"]], y[row["name"]])


def test_bf16_against_what_it_came_from():
    np = cli.numpy()
    wide = np.random.default_rng(9).standard_normal(5000).astype("f4")
    bits = (wide.view("<u4") >> 16).astype("<u2")
    back = (bits.astype("<u4") << 16).view("<f4")
    folder, path = cli.temporary_folder()
    with folder:
        cli.write_safetensors(path / "a.safetensors", {"w": ("F32", wide.shape, wide.tobytes())})
        cli.write_safetensors(path / "b.safetensors", {"w": ("BF16", bits.shape, bits.tobytes())})
        _, document = compare(path / "a.safetensors", path / "b.safetensors")
        check_row(document["comparison"][0], wide, back)


def test_what_is_missing_or_of_another_shape():
    np = cli.numpy()
    folder, path = cli.temporary_folder()
    with folder:
        save(path / "a.safetensors", {"same": np.ones(3, "f4"), "gone": np.ones(3, "f4"), "bent": np.ones((2, 3), "f4")})
        save(path / "b.safetensors", {"bent": np.ones((3, 2), "f4"), "new": np.ones(3, "f4"), "same": np.ones(3, "f4")})
        code, document = compare(path / "a.safetensors", path / "b.safetensors")
        assert code == 1
        verdicts = {row["name"]: row["verdict"] for row in document["comparison"]}
        assert verdicts == {"same": "identical", "gone": "only in first", "bent": "shape differs",
                            "new": "only in second"}, verdicts
        table = cli.run("stats", path / "a.safetensors", "--compare", path / "b.safetensors")
        assert table.returncode == 1 and "[2, 3] -> [3, 2]" in table.stdout, table
        assert "same" not in table.stdout, "what is identical is only counted"
        assert "1 identical, 1 only in first, 1 only in second, 1 shape differs" in table.stdout, table.stdout
        quiet = cli.run("stats", path / "a.safetensors", "--compare", path / "b.safetensors", "--quiet")
        assert (quiet.returncode, quiet.stdout) == (1, ""), quiet


def test_identical_checkpoints_however_they_are_cut_into_files():
    np = cli.numpy()
    random = np.random.default_rng(4)
    arrays = {f"t{i}": random.standard_normal((1000, 400)).astype("f4") for i in range(6)}
    folder, path = cli.temporary_folder()
    with folder:
        save(path / "whole.safetensors", arrays)
        (path / "parts").mkdir()
        for part in range(3):
            save(path / "parts" / f"{2 - part}.safetensors", {f"t{i}": arrays[f"t{i}"] for i in (2 * part, 2 * part + 1)})
        (path / "arrays").mkdir()
        for name, array in arrays.items():
            np.save(path / "arrays" / f"{name}.npy", np.asfortranarray(array) if name > "t3" else array)
        for first in ("whole.safetensors", "parts", "arrays"):
            for second in ("whole.safetensors", "parts", "arrays"):
                result = cli.run("stats", path / first, "--compare", path / second)
                assert result.returncode == 0 and "6 tensors: 6 identical" in result.stdout, result


def test_deflated_arrays():
    np = cli.numpy()
    random = np.random.default_rng(10)
    arrays = {"c": random.standard_normal((1000, 700)), "f": np.asfortranarray(random.standard_normal((90, 70, 50))),
              "none": np.zeros((0, 3)), "small": np.arange(9)}
    changed = {name: array.copy(order="K") for name, array in arrays.items()}
    changed["c"][1, 2] += 1
    changed["f"][80, 60, 40] = np.nan
    folder, path = cli.temporary_folder()
    with folder:
        for name, contents in (("a", arrays), ("b", changed)):
            np.savez(path / f"{name}_stored.npz", **contents)
            np.savez_compressed(path / f"{name}_deflated.npz", **contents)
            turned = {key: np.array(array, order="F" if key == "c" else "C") for key, array in contents.items()}
            np.savez(path / f"{name}_turned.npz", **turned)
            np.savez_compressed(path / f"{name}_turned_deflated.npz", **turned)
        kinds = ("stored", "deflated", "turned", "turned_deflated")
        for first in kinds:
            for second in kinds:
                apart = "deflated" in first and "deflated" in second and ("turned" in first) != ("turned" in second)
                code, document = compare(path / f"a_{first}.npz", path / f"a_{second}.npz", "--threads", 2)
                verdicts = {row["verdict"] for row in document["comparison"]}
                if apart:
                    assert code == 1 and verdicts == {"identical", "both deflated, in different orders"}, verdicts
                    continue
                assert code == 0 and verdicts == {"identical"}, (first, second, document)
                for a, b, x, y in (("a", "b", arrays, changed), ("b", "a", changed, arrays)):
                    code, document = compare(path / f"{a}_{first}.npz", path / f"{b}_{second}.npz")
                    assert code == 1
                    for row in document["comparison"]:
                        check_row(row, np.ascontiguousarray(x[row["name"]]), np.ascontiguousarray(y[row["name"]]))
        damaged = bytearray((path / "a_deflated.npz").read_bytes())
        damaged[len(damaged) // 2] ^= 0xff
        (path / "damaged.npz").write_bytes(damaged)
        result = cli.run("stats", path / "a_stored.npz", "--compare", path / "damaged.npz")
        assert result.returncode == 3 and "damaged.npz" in result.stderr and result.stderr.count("\n") == 1, result


def test_csv():
    np = cli.numpy()
    folder, path = cli.temporary_folder()
    with folder:
        save(path / "a.safetensors", {"w, 1": np.array([1, 2], "f4"), "nan": np.array([np.nan], "f4"), "x": np.ones(1, "f4")})
        save(path / "b.safetensors", {"w, 1": np.array([1, 2.1], "f4"), "nan": np.array([np.nan], "f4")})
        result = cli.run("stats", path / "a.safetensors", "--compare", path / "b.safetensors", "--csv", path / "o.csv",
                         "--json", path / "o.json")
        assert result.returncode == 1, result
        with open(path / "o.csv", newline="") as file:
            rows = {row["tensor"]: row for row in csv.DictReader(file, strict=True)}
        for wanted in json.loads((path / "o.json").read_text())["comparison"]:
            row = rows[wanted["name"]]
            assert row["verdict"] == wanted["verdict"]
            for key in ("count", "differing", "max_abs", "rms", "relative", "nan_mismatch", "inf_mismatch"):
                assert (float(row[key]) if row[key] else None) == wanted.get(key), (row, wanted, key)
        assert rows["x"]["second_dtype"] == "" and rows["x"]["count"] == ""


def test_bad_input():
    np = cli.numpy()
    folder, path = cli.temporary_folder()
    with folder:
        good = path / "good.safetensors"
        save(good, {"w": np.ones(3, "f4")})
        (path / "bad.safetensors").write_bytes(good.read_bytes()[:-1])
        for first, second in ((good, path / "bad.safetensors"), (path / "bad.safetensors", good), (good, path / "none")):
            result = cli.run("stats", first, "--compare", second)
            assert result.returncode == 3 and result.stdout == "" and result.stderr.count("\n") == 1, result
        (path / "two").mkdir()
        for name in ("a", "b"):
            save(path / "two" / f"{name}.safetensors", {"w": np.ones(3, "f4")})
        for first, second in ((good, path / "two"), (path / "two", good)):
            result = cli.run("stats", first, "--compare", second)
            assert result.returncode == 2 and 'tensor "w" in both' in result.stderr, result
        for extra in (("--channel", 0), ("--resume", good), ("--device", "host"), ("--memory-limit", "1GiB")):
            result = cli.run("stats", good, "--compare", good, *extra)
            assert result.returncode == 2 and "--compare" in result.stderr, result


def test_ctrl_c():
    folder, path = cli.temporary_folder()
    with folder:
        file = path / "zeros.safetensors"
        cli.sparse_safetensors(file, 4096, 2 * MIB)
        document = cli.interrupted("stats", file, "--compare", file, "--threads", 1)
        assert document["run"]["partial"] is True and 0 < len(document["comparison"]) < 4096
        assert [row["name"] for row in document["comparison"]] == [f"t{i}" for i in range(len(document["comparison"]))]


if __name__ == "__main__":
    cli.numpy()
    cli.main(sys.modules[__name__])
