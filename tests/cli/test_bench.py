#!/usr/bin/env python3
"""bench: that every row is there and what it says; not how fast anything is."""

import json
import os
import signal
import subprocess
import sys
import time

import cli

NUMPY = subprocess.run(["/usr/bin/python3", "-c", "import numpy"], capture_output=True, check=False).returncode == 0 \
    or subprocess.run(["python3", "-c", "import numpy"], capture_output=True, check=False).returncode == 0


def bench(*args):
    """Runs a bench with --json -, which must succeed; returns the document, its rows checked."""
    result = cli.run("bench", *args, "--json", "-", timeout=None)
    assert result.returncode == 0, (result.returncode, result.stderr)
    document = json.loads(result.stdout)
    assert document["machine"]["cores"] >= 1
    assert "partial" not in document and "differences" not in document, document
    for row in document["rows"]:
        assert set(row) == {"bench", "case", "dtype", "impl", "threads", "value", "unit"}, row
        assert row["bench"] == args[0] and row["value"] > 0, row
    keys = [tuple(row[key] for key in ("case", "dtype", "impl", "threads", "unit")) for row in document["rows"]]
    assert len(set(keys)) == len(keys), "a row is there twice"
    return document, set(keys)


def expect_keys(found, expected):
    assert found == expected, (sorted(map(str, found - expected)), sorted(map(str, expected - found)))


def reduce_cases(elements):
    """What must be timed for this many elements, which is a power of two from 2^18 to 2^20."""
    columns = 1 << elements.bit_length() // 2
    square = f"({elements // columns},{columns})"
    batch = f"(4,{elements // 4096},32,32)"
    return {f"{op} all" for op in ("sum", "mean", "prod", "min", "max", "statistics", "argmax")} | {
        f"sum {square} over 0", f"sum {square} over 1", f"min {square} over 1",
        f"max with index {square} over 1",
        f"sum ({elements // 256},256) over 1", f"sum (256,{elements // 256}) over 0",
        f"sum ({elements // 16},16) over 1", f"sum (16,{elements // 16}) over 0",
        f"sum {batch} over (0,2)", f"sum {batch} over (1,3)", f"sum {batch} over (0,2,3)"}


def test_reduce():
    document, keys = bench("reduce", "--size", "1MiB", "--threads", "1,2", "--repetitions", 2)
    expected = {(case, dtype, impl, threads, "GB/s") for dtype, elements in (("f32", 1 << 18), ("bf16", 1 << 19))
                for case in reduce_cases(elements) for impl in ("millrace", "floor") for threads in (1, 2)}
    if NUMPY:
        assert document["peers"]["numpy"].startswith("NumPy "), document["peers"]
        expected |= {(case, dtype, "numpy", 1, "GB/s") for case, dtype, _, _, _ in expected}
    else:
        assert document["peers"]["numpy"].startswith("absent: "), document["peers"]
    expect_keys(keys, expected)


def test_reduce_takes_odd_sizes_and_one_dtype():
    _, keys = bench("reduce", "--size", "1100001", "--dtype", "bf16", "--threads", 1, "--repetitions", 1)
    assert {dtype for _, dtype, _, _, _ in keys} == {"bf16"}
    assert len({case for case, _, _, _, _ in keys}) == len(reduce_cases(1 << 19)), keys


def test_no_peers():
    document, keys = bench("reduce", "--size", "1MiB", "--threads", 1, "--repetitions", 1, "--no-peers")
    assert document["peers"] == {"numpy": "absent: not asked for"}
    assert {impl for _, _, impl, _, _ in keys} == {"millrace", "floor"}


def test_small():
    document, keys = bench("small", "--threads", "1,3", "--repetitions", 2, "--milliseconds", 5)
    expected = {(case, "f32", "millrace", threads, unit) for threads in (1, 3)
                for case, unit in (("latency", "ops/s"), ("latency", "us"), ("batched", "ops/s"), ("checked", "ops/s"),
                                   ("rarely", "ops/s"))}
    if NUMPY:
        expected |= {("latency", "f32", "numpy", threads, unit) for threads in (1, 3) for unit in ("ops/s", "us")}
    expect_keys(keys, expected)
    rate = {(row["threads"], row["impl"], row["unit"]): row["value"] for row in document["rows"]
            if row["case"] == "latency"}
    assert abs(rate[3, "millrace", "ops/s"] * rate[3, "millrace", "us"] / 3e6 - 1) < 1e-9, rate


def test_small_ones_of_another_size_say_it():
    document, keys = bench("small", "--threads", 1, "--repetitions", 1, "--milliseconds", 5, "--elements", 65536)
    assert document["elements"] == 65536, document
    assert {case for case, *_ in keys} == {"latency", "batched", "checked", "rarely"}, keys


def test_a_device_that_is_not_there_is_refused_at_once():
    for kind in ("reduce", "small", "stats"):
        result = cli.run("bench", kind, "--device", "cuda:63")
        assert result.returncode == 2 and "--device cuda:63: there is no device" in result.stderr, (kind, result)


def test_stats_leaves_nothing_behind():
    folder, path = cli.temporary_folder()
    with folder:
        document, keys = bench("stats", "--size", "3MiB", "--dir", path, "--threads", "1,2", "--repetitions", 2)
        expected = {("3 MiB", None, impl, threads, "GB/s") for impl in ("millrace", "floor") for threads in (1, 2)}
        expect_keys(keys, expected | ({("3 MiB", None, "numpy", 1, "GB/s")} if NUMPY else set()))
        assert [memory["threads"] for memory in document["device_memory"]] == [1, 2]
        for memory in document["device_memory"]:
            assert 0 < memory["peak_committed_bytes"] <= memory["memory_limit"], memory
        assert os.listdir(path) == []


def test_stats_reuses_what_it_kept():
    folder, path = cli.temporary_folder()
    with folder:
        arguments = ("stats", "--size", "1MiB", "--dir", path, "--threads", 1, "--repetitions", 1, "--no-peers")
        bench(*arguments, "--keep")
        (name,) = os.listdir(path)
        written = (path / name).stat()
        bench(*arguments)
        assert (path / name).stat().st_ino == written.st_ino and os.listdir(path) == [name]
        assert cli.run_json(path / name)["tensors"][0]["count"] > 0

        (path / name).write_bytes(b"not what was kept")
        bench(*arguments, "--keep")
        assert (path / name).stat().st_size == written.st_size


def test_stats_says_what_does_not_fit():
    result = cli.run("bench", "stats", "--size", "7E15")
    assert result.returncode == 2 and "expected a size" in result.stderr, result
    result = cli.run("bench", "stats", "--size", "1000000GiB")
    assert result.returncode == 2 and "free there; choose a smaller --size or another --dir" in result.stderr, result
    result = cli.run("bench", "stats", "--dir", "/proc/nowhere")
    assert result.returncode == 2 and "cannot write to /proc/nowhere" in result.stderr, result


def test_ctrl_c():
    folder, path = cli.temporary_folder()
    with folder:
        for arguments in (("alloc", "--mode", "all"), ("reduce", "--size", "16MiB"), ("small",),
                          ("stats", "--size", "64MiB", "--dir", path, "--keep")):
            command = [cli.PROGRAM, "bench", *map(str, arguments), "--repetitions", "1000", "--json", "-"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
                cli.wait_for_handler(process, signal.SIGINT)
                time.sleep(0.5)
                process.send_signal(signal.SIGINT)
                out, err = process.communicate()
            assert process.returncode == 5 and err == "", (arguments, process.returncode, err)
            assert json.loads(out)["partial"] is True, out
        assert all(name.startswith("millrace-bench-") and name.endswith(".safetensors")
                   for name in os.listdir(path)), os.listdir(path)


def test_what_is_refused():
    for arguments, said in ((("reduce", "--dtype", "f16"), "expected some of f32, bf16 and, on a GPU, f16"),
                            (("reduce", "--size", "1KiB"), "at least 1 MiB, found 1KiB"),
                            (("reduce", "--latency"), "measure GPUs: name one with --device"),
                            (("reduce", "--random", "3"), "measure GPUs: name one with --device"),
                            (("stats", "--size", "many"), "expected a size"),
                            (("small", "--threads", "0"), "expected numbers from 1 to 256"),
                            (("small", "--elements", "8192"), "8192 is not a power of four from 16 to 4194304"),
                            (("small", "--json", "/proc/nowhere/x"), "--json: cannot write")):
        result = cli.run("bench", *arguments)
        assert result.returncode == 2 and said in result.stderr and result.stdout == "", (arguments, result)


def test_tables():
    folder, path = cli.temporary_folder()
    with folder:
        peer = "numpy: NumPy" if NUMPY else "numpy: absent: "
        for arguments, said in ((("reduce", "--size", "1MiB"), ("sum (512,512) over 0", "1 MiB of it", peer)),
                                (("small", "--milliseconds", 2), ("16 a commit", peer)),
                                (("stats", "--size", "1MiB", "--dir", path), ("device memory", peer))):
            result = cli.run("bench", *arguments, "--repetitions", 1, timeout=None)
            assert result.returncode == 0 and result.stderr == "", result
            for part in said:
                assert part in result.stdout, (part, result.stdout)


if __name__ == "__main__":
    cli.main(sys.modules[__name__])
