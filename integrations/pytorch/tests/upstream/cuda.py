#!/usr/bin/env python3
"""cuda.py FILE --library LIBRARY: PyTorch's own test_cuda.py with torch's CUDA allocator and with Millrace's, and what differs.

FILE is test/test_cuda.py of PyTorch's repository at the version that is installed, or near it: what does not fit the torch
that is installed fails with both. LIBRARY is libmillrace_torch_cuda.so. Millrace's is installed as `pip install` does it, by
the entry point of `import torch`, so that processes which a test starts have it too, and has segments as torch's own takes
them (native_geometry), which the tests count; with --expandable both have expandable ones. A test that fails, or is skipped,
with Millrace's alone has to stand in cuda_not_passed.txt with a reason, and what stands there has to fail; else the exit code
is 1. 77 where there is no GPU.
"""

import argparse
import collections
import concurrent.futures
import fnmatch
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from processes import FAILED, expected, run_until_done

HERE = pathlib.Path(__file__).resolve().parent
PACKAGES = HERE.parents[1] / "cuda" / "python"
BACKENDS = {"stock": "native", "millrace": "millrace"}
# What takes a part of all memory, or looks at what is taken: by one process, and after the others.
ALONE = r"(?i)memory|mempool|oom|alloc|cache|fraction|checkpoint|absorption|split|snapshot|graph"
NOT_RUN = 77


def make_entry_point(folder: pathlib.Path) -> None:
    """What pip would write of the package that a program finds it by."""
    about = folder / "millrace_torch-0.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: millrace-torch\nVersion: 0.0\n")
    (about / "entry_points.txt").write_text("[torch.backends]\nmillrace_cuda = millrace_torch_cuda:_autoload\n")


def environment_of(allocator: str, request, entry_point: str) -> dict:
    settings = {"PYTORCH_PRINT_REPRO_ON_FAILURE": "0", "MILLRACE_TORCH": "0"}
    if request.expandable:
        settings["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"
    else:
        settings["MILLRACE_TORCH_NATIVE_GEOMETRY"] = "1"
    if allocator == "millrace":
        paths = [entry_point, str(PACKAGES), os.environ.get("PYTHONPATH", "")]
        settings |= {"MILLRACE_TORCH": "1", "MILLRACE_TORCH_CUDA_LIBRARY": str(request.library),
                     "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    return {**os.environ, **settings}


def run(request, allocator: str, part: int, parts: int, alone: str, environment: dict) -> dict:
    log = request.logs / f"{allocator}-{alone}-{part}-of-{parts}.jsonl"
    command = [sys.executable, HERE / "cuda_worker.py", request.file, log, BACKENDS[allocator], str(part), str(parts),
               request.select, ALONE, alone]
    return run_until_done(command, environment, log)


def run_all(request) -> dict:
    """By allocator, the state and the reason of each test. One allocator after the other has the device."""
    states = {allocator: {} for allocator in BACKENDS}
    with tempfile.TemporaryDirectory() as folder:
        make_entry_point(pathlib.Path(folder))
        for allocator in BACKENDS:
            environment = environment_of(allocator, request, folder)
            with concurrent.futures.ThreadPoolExecutor(request.jobs) as threads:
                parts = [threads.submit(run, request, allocator, part, request.jobs, "together", environment)
                         for part in range(request.jobs)]
                for part in parts:
                    states[allocator].update(part.result())
            states[allocator].update(run(request, allocator, 0, 1, "alone", environment))
    return states


def report(states: dict, entries: list) -> int:
    """The table, and what is not accounted for; how much that is."""
    print("| allocator | passed | skipped | fails |")
    print("|---|---|---|---|")
    for allocator, found in states.items():
        counts = collections.Counter("failed" if state in FAILED else state for state, _ in found.values())
        print(f"| {allocator} | {counts['passed']} | {counts['skipped']} | {counts['failed']} |")
    unknown, used = 0, set()
    for test, (state, why) in sorted(states["millrace"].items()):
        stock = states["stock"].get(test, ("",))[0]
        left_out = state == "skipped" and stock != "skipped"
        if not (state in FAILED or left_out) or stock in FAILED:
            continue
        reasons = [entry for entry in entries if fnmatch.fnmatchcase(test, entry[1])]
        used.update(reasons)
        last = why.strip().splitlines()[-1] if why.strip() else state
        print(f"{'listed' if reasons else 'FAILS'}: {test}: {reasons[0][2] if reasons else last}")
        unknown += not reasons
    for entry in set(entries) - used:
        print(f"cuda_not_passed.txt: {entry[1]} names no test that fails with Millrace's allocator alone; take the line out")
        unknown += 1
    return unknown


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--library", type=pathlib.Path, required=True)
    parser.add_argument("--jobs", type=int, default=4, help="processes for each allocator")
    parser.add_argument("--select", default=".", help="a regular expression of tests; then nothing is said of the list's others")
    parser.add_argument("--expandable", action="store_true", help="with expandable segments")
    parser.add_argument("--logs", type=pathlib.Path, help="a folder to keep results in, and to go on from")
    request = parser.parse_args()
    for path in (request.file, request.library):
        if not path.exists():
            parser.error(f"there is no {path}")
    request.library = request.library.resolve()
    if subprocess.run([sys.executable, "-c", "import sys, torch; sys.exit(not torch.cuda.is_available())"], check=False,
                      env={**os.environ, "MILLRACE_TORCH": "0"}).returncode != 0:
        print("not run: torch finds no CUDA device", file=sys.stderr)
        return NOT_RUN
    request.logs = request.logs or pathlib.Path(tempfile.mkdtemp(prefix="upstream-"))
    request.logs.mkdir(parents=True, exist_ok=True)
    print(f"results go to {request.logs}", flush=True)
    states = run_all(request)
    (request.logs / "states.json").write_text(json.dumps(states, indent=1) + "\n")
    entries = expected(HERE / "cuda_not_passed.txt")
    if request.select != ".":
        entries = [entry for entry in entries if any(fnmatch.fnmatchcase(test, entry[1]) for test in states["millrace"])]
    return 1 if report(states, entries) else 0


if __name__ == "__main__":
    sys.exit(main())
