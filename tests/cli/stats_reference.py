"""stats the slow way, with NumPy: what the program's JSON is held against."""

import math

import cli

RELATIVE = 1e-5
# Of the sum of magnitudes: types of two bytes are summed in f32, f32 four at a time, all others in f64.
ROUNDING = {"f16": 1e-6, "bf16": 1e-6, "f32": 1e-7}
COUNTS_AND_EXTREMES = ("count", "nan", "inf", "zeros", "min", "max", "absmax")


def expected(array):
    np = cli.numpy()
    flat = array.reshape(-1)
    with np.errstate(invalid="ignore"):  # signalling NaNs among the bits of a bf16
        values = flat.astype("f8")
    finite = values[np.isfinite(values)]
    row = {"count": flat.size, "nan": int(np.isnan(values).sum()), "inf": int(np.isinf(values).sum()),
           "zeros": int((flat == 0).sum())}
    if finite.size == 0:
        row.update(dict.fromkeys(("sum", "mean", "std", "min", "max", "absmax")))
        return row
    row.update(sum=float(finite.sum()), mean=float(finite.mean()), std=float(finite.std()), min=float(finite.min()),
               max=float(finite.max()), absmax=float(np.abs(finite).max()))
    # Where positive and negative values cancel, what is left is as exact as what went in.
    row["sum of magnitudes"] = float(np.abs(finite).sum())
    return row


def check_row(row, array):
    wanted = expected(array)
    label = f"{row['file']} {row['name']}"
    for key in COUNTS_AND_EXTREMES:
        assert row[key] == wanted[key], f"{label}: {key} is {row[key]}, NumPy's {wanted[key]}"
    if wanted["sum"] is None:
        assert row["sum"] is None and row["mean"] is None and row["std"] is None, label
        return
    magnitude = wanted["sum of magnitudes"]
    for key, scale in (("sum", magnitude), ("mean", magnitude / wanted["count"]), ("std", 0)):
        assert math.isclose(row[key], wanted[key], rel_tol=RELATIVE,
                            abs_tol=ROUNDING.get(row["dtype"], 1e-12) * scale), \
            f"{label}: {key} is {row[key]!r}, NumPy's {wanted[key]!r}"


def check_safetensors(document, path):
    """Every tensor of the file is in the document, in the order of its bytes, and right."""
    rows = [row for row in document["tensors"] if row["file"] == str(path)]
    tensors = list(cli.read_safetensors(path))
    assert [row["name"] for row in rows] == [name for name, _, _ in tensors]
    for row, (_, dtype, array) in zip(rows, tensors):
        assert row["dtype"] == dtype.lower()
        assert row["shape"] == list(array.shape)
        check_row(row, array)
    return len(rows)
