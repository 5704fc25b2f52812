"""What the command line's tests share: running it, writing and reading its files, skipping."""

import json
import os
import pathlib
import signal
import struct
import subprocess
import sys
import tempfile
import time

PROGRAM = os.environ.get("MILLRACE_PROGRAM", "build/release/bin/millrace")
SKIPPED = 77


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIPPED)


def numpy():
    try:
        import numpy
    except ImportError:
        skip("NumPy is not installed (python3-numpy)")
    return numpy


def temporary_folder():
    folder = tempfile.TemporaryDirectory(prefix="millrace-cli-")
    return folder, pathlib.Path(folder.name)


def run(*args, timeout=300):
    return subprocess.run([PROGRAM, *map(str, args)], capture_output=True, text=True, timeout=timeout, check=False)


def run_json(*args):
    """Runs stats with --json -, which must succeed; returns the document."""
    result = run("stats", *args, "--json", "-")
    assert result.returncode == 0, (result.returncode, result.stderr)
    return json.loads(result.stdout)


def check_refused(path, says, *arguments, name=None):
    """stats on path ends in exit 3 and one line that says the file (path, or another's name), what was
    expected and found, and this."""
    result = run("stats", path, *arguments, timeout=60)
    label = f"{path.name}: exit {result.returncode}, stdout {result.stdout!r}, stderr {result.stderr!r}"
    assert result.returncode == 3, label
    assert result.stdout == "", label
    assert result.stderr.count("\n") == 1 and result.stderr.endswith("\n"), label
    for part in (name or path.name, "expected", "found", says):
        assert part in result.stderr, f"no {part!r} in {label}"
    assert result.stderr.isprintable() or result.stderr[:-1].isprintable(), label


def safetensors_bytes(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def write_safetensors(path, tensors):
    """tensors: name -> (the format's name of the dtype, shape, bytes)."""
    header, data = {}, []
    at = 0
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + len(content)]}
        data.append(content)
        at += len(content)
    path.write_bytes(safetensors_bytes(header, b"".join(data)))


NUMPY_NAMES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
               "U8": "u1", "BOOL": "?"}


def read_safetensors(path):
    """Yields (name, the format's dtype, array); bf16 as f32, which holds every value of it."""
    np = numpy()
    content = np.memmap(path, dtype="u1", mode="r")
    (length,) = struct.unpack("<Q", content[:8].tobytes())
    header = json.loads(content[8:8 + length].tobytes())
    header.pop("__metadata__", None)
    for name, info in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, end = (8 + length + offset for offset in info["data_offsets"])
        raw = content[begin:end].tobytes()
        if info["dtype"] == "BF16":
            array = (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
        else:
            array = np.frombuffer(raw, NUMPY_NAMES[info["dtype"]])
        yield name, info["dtype"], array.reshape(info["shape"])


def sparse_safetensors(path, tensors, bytes_each):
    """A file of zeros that takes no room on disk: for runs that must last."""
    header = {f"t{i}": {"dtype": "F32", "shape": [bytes_each // 4],
                        "data_offsets": [i * bytes_each, (i + 1) * bytes_each]} for i in range(tensors)}
    start = safetensors_bytes(header)
    path.write_bytes(start)
    os.truncate(path, len(start) + tensors * bytes_each)


def wait_for_handler(process, number):
    """Until the process has a handler of its own for the signal."""
    deadline = time.monotonic() + 30
    while True:
        assert process.poll() is None and time.monotonic() < deadline, f"no handler for signal {number}"
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
        if int(caught.split()[1], 16) >> (number - 1) & 1:
            return
        time.sleep(0.01)


def interrupted(*args):
    """Runs a command with --json -, sends it SIGINT while it works; it must end with 5. Returns the document."""
    with subprocess.Popen([PROGRAM, *map(str, args), "--json", "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:
        wait_for_handler(process, signal.SIGINT)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 5, (process.returncode, err)
    return json.loads(out)


def main(module):
    """Runs every function named test_* in a module, says which, and ends with 1 if one failed."""
    failed = []
    for name, function in sorted(vars(module).items()):
        if not name.startswith("test_") or not callable(function):
            continue
        try:
            function()
            print(f"passed: {name}")
        except AssertionError as error:
            import traceback
            traceback.print_exc()
            print(f"FAILED: {name}: {error}")
            failed.append(name)
    sys.exit(1 if failed else 0)
