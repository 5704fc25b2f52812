#!/usr/bin/env python3
"""stats of .npz files against NumPy: as np.savez and np.savez_compressed write them, and as others do."""

import io
import sys
import zipfile

import cli
import stats_reference

MIB = 1 << 20


def arrays_of(np):
    random = np.random.default_rng(5)
    arrays = {}
    for dtype in ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1", "?"):
        for i, shape in enumerate([(), (17,), (0, 4), (3, 5, 7), (40_001,)]):
            values = random.standard_normal(shape) * 50
            arrays[f"{dtype}/{i}".replace("?", "bool")] = np.asarray(values if dtype[0] == "f" else abs(values) // 1) \
                .astype(dtype)
    arrays["f4/1"][3:6] = np.nan, np.inf, 0
    arrays["fortran"] = np.asfortranarray(random.standard_normal((31, 17)))
    arrays["\u00e9t\u00e9"] = np.arange(5)
    return arrays


def check(document, arrays, path):
    assert [row["name"] for row in document["tensors"]] == list(arrays)
    for row in document["tensors"]:
        assert row["file"] == str(path)
        assert row["shape"] == list(arrays[row["name"]].shape), row
        stats_reference.check_row(row, arrays[row["name"]])


def test_what_numpy_writes():
    np = cli.numpy()
    arrays = arrays_of(np)
    folder, path = cli.temporary_folder()
    with folder:
        for save in (np.savez, np.savez_compressed):
            file = path / f"{save.__name__}.npz"
            save(file, **arrays)
            for threads in (1, 5):
                check(cli.run_json(file, "--threads", threads), arrays, file)
        np.savez_compressed(path / "unnamed.npz", np.arange(9), np.zeros(3))
        assert [row["name"] for row in cli.run_json(path / "unnamed.npz")["tensors"]] == ["arr_0", "arr_1"]
        assert len(cli.run_json(path)["tensors"]) == 2 * len(arrays) + 2, "all three in the folder"


class Unseekable(io.RawIOBase):
    """A pipe, as far as zipfile can tell: sizes follow the data."""

    def __init__(self, file):
        self.file = file

    def writable(self):
        return True

    def write(self, data):
        return self.file.write(data)


def test_sizes_that_follow():
    np = cli.numpy()
    arrays = arrays_of(np)
    folder, path = cli.temporary_folder()
    with folder:
        for save in (np.savez, np.savez_compressed):
            file = path / "piped.npz"
            with open(file, "wb") as out:
                save(Unseekable(out), **arrays)
            check(cli.run_json(file), arrays, file)


def test_stored_and_deflated_in_one():
    np = cli.numpy()
    arrays = arrays_of(np)
    folder, path = cli.temporary_folder()
    with folder:
        file = path / "mixed.npz"
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("folder/", b"")
            for i, (name, array) in enumerate(arrays.items()):
                content = io.BytesIO()
                np.save(content, array)
                archive.writestr(f"{name}.npy", content.getvalue(),
                                 zipfile.ZIP_DEFLATED if i % 2 else zipfile.ZIP_STORED)
        check(cli.run_json(file), arrays, file)


def test_more_members_than_the_old_format_counts():
    np = cli.numpy()
    content = io.BytesIO()
    np.save(content, np.arange(3))
    folder, path = cli.temporary_folder()
    with folder:
        file = path / "many.npz"
        with zipfile.ZipFile(file, "w") as archive:
            for i in range(66_000):
                archive.writestr(f"{i}.npy", content.getvalue())
        rows = cli.run_json(file)["tensors"]
        assert len(rows) == 66_000 and rows[65_999]["name"] == "65999", rows[-1]
        assert all(row["sum"] == 3 for row in rows)


def test_arrays_larger_than_the_memory_limit():
    np = cli.numpy()
    random = np.random.default_rng(6)
    arrays = {"big": random.standard_normal(6 * MIB).astype("f4"), "odd": random.integers(-9, 9, 3 * MIB + 1).astype("i2"),
              "small": random.standard_normal(100)}
    arrays["big"][12345], arrays["big"][5 * MIB] = np.nan, np.inf
    folder, path = cli.temporary_folder()
    with folder:
        for save in (np.savez, np.savez_compressed):
            file = path / f"{save.__name__}.npz"
            save(file, **arrays)
            first = cli.run_json(file)["tensors"]
            for limit in (4 * MIB, 10**7, 64 * MIB):
                for threads in (1, 8):
                    document = cli.run_json(file, "--memory-limit", limit, "--threads", threads)
                    check(document, arrays, file)
                    assert document["run"]["peak_committed_bytes"] <= limit, document["run"]
                    assert document["run"]["bytes"] == sum(array.nbytes for array in arrays.values())
            assert cli.run_json(file, "--threads", 7)["tensors"] == first, "the threads do not show"


if __name__ == "__main__":
    cli.numpy()
    cli.main(sys.modules[__name__])
