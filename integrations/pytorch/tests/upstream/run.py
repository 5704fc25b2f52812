#!/usr/bin/env python3
"""run.py FOLDER [FILE...]: PyTorch's own tests on torch.device("millrace"), and a table of how they went.

FOLDER is `test` of PyTorch's repository at the version that is installed (torch.version.git_version says which), or any
folder with the files named below in it; openreg's own tests are looked for in folders `openreg` and `torch_openreg/tests`.
Nothing of theirs is part of this repository. What fails has to stand in not_passed.txt with a reason, and what stands
there has to fail; else the exit code is 1. A test that fails is run on the CPU too, where it can be: what fails there is
a test that does not fit the torch that is installed, and counts as that.
"""

import argparse
import collections
import fnmatch
import json
import os
import pathlib
import re
import sys
import tempfile

from processes import FAILED, expected, run_until_done

HERE = pathlib.Path(__file__).resolve().parent
# Of a file, the classes whose tests are of devices.
FILES = {
    "test_accelerator.py": "",
    "test_reductions.py": "^TestReductions",
    "test_torch.py": "^Test(TorchDeviceType|DevicePrecision)",
    "test_ops.py": "^TestCommon",
}
# Of a file, the tests that want what a kernel finds in the data, or in the types, from the call itself, as they do of the
# CPU: their operators are waited for, millrace_torch.debug(synchronous=True), and they have a line of their own.
AT_THE_CALL = {
    "test_reductions.py": r"\.test_(bucketization|tensor_compare_ops_empty|invalid_0dim_aminmax)_",
    "test_torch.py": r"\.test_(index_fill|masked_scatter|nondeterministic_alert_put|broadcast_fn_masked_scatter)_",
    "test_ops.py": r"\.test_(dtypes|errors|out_angle|variant_consistency_eager_masked_scatter)_",
}
# Of a file, tests that are not of the device: those of torch's own reference implementations in Python.
LEFT_OUT = {"test_ops.py": r"\.test_python_ref_"}
NONE = "^$"
OPENREG = ("autocast", "autograd", "device", "event", "memory", "misc", "ops", "rng", "rnn", "storage", "streams", "utils")


def is_of_openreg(path: pathlib.Path) -> bool:
    return path.parent.name == "openreg" or path.parent.parts[-2:] == ("torch_openreg", "tests")


def find(folder: pathlib.Path) -> dict:
    """The files that are there: a short name, the path and the classes of each."""
    found = {}
    for path in sorted(folder.rglob("test_*.py")):
        of_openreg = is_of_openreg(path)
        if of_openreg and path.stem.removeprefix("test_") in OPENREG:
            found[f"openreg/{path.name}"] = (path, "")
        elif not of_openreg and path.name in FILES and path.name not in found:
            found[path.name] = (path, FILES[path.name])
    return found


def run(path: pathlib.Path, classes: str, every: int, device: str, log: pathlib.Path) -> dict:
    """The last state and the reason of each test of a file."""
    environment = {**os.environ, "MILLRACE_TORCH_DEVICES": "2", "OMP_NUM_THREADS": "1",
                   "PYTORCH_PRINT_REPRO_ON_FAILURE": "0"}
    command = [sys.executable, HERE / "worker.py", path, log, classes or ".", str(every), device,
               "openreg" if is_of_openreg(path) else "millrace", AT_THE_CALL.get(path.name, NONE),
               LEFT_OUT.get(path.name, NONE)]
    return run_until_done(command, environment, log)


def on_the_cpu(test: str) -> str:
    """The same test's name there; a class that was renamed after the device is not always of the one spelling."""
    return test.replace("PRIVATEUSE1", "CPU").replace("MILLRACE", "CPU").replace("_privateuse1", "_cpu").replace("_millrace", "_cpu")


def report(name: str, title: str, states: dict, control: dict, entries: list, used: set) -> list:
    """Prints the file's line of the table; returns the tests whose failure is not accounted for."""
    counts = collections.Counter()
    unknown = []
    for test, (state, why) in sorted(states.items()):
        if state not in FAILED:
            counts[state] += 1
            continue
        reasons = [entry for entry in entries if fnmatch.fnmatchcase(test, entry[1]) and entry[0] == name]
        used.update(reasons)
        if reasons:
            counts["listed"] += 1
        elif control.get(on_the_cpu(test), ("",))[0] in (*FAILED, "skipped", "expected failure"):
            counts["as on the CPU"] += 1
        else:
            unknown.append(f"{name} {test}: {why.strip().splitlines()[-1] if why.strip() else state}")
    columns = ("passed", "skipped", "expected failure", "unexpected success", "listed", "as on the CPU")
    print(f"| {title} | " + " | ".join(str(counts[column]) for column in columns) + f" | {len(unknown)} |", flush=True)
    return unknown


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("files", nargs="*", help="only these, as the table names them")
    parser.add_argument("--every", type=int, default=1, help="one of so many operators of test_ops.py")
    parser.add_argument("--logs", type=pathlib.Path, help="a folder to keep results in, and to go on from")
    request = parser.parse_intermixed_args()
    files = find(request.folder)
    if unknown := set(request.files) - set(files):
        sys.exit(f"{', '.join(sorted(unknown))}: not in {request.folder}, which has {', '.join(files) or 'none'}")
    logs = request.logs or pathlib.Path(tempfile.mkdtemp(prefix="upstream-"))
    logs.mkdir(parents=True, exist_ok=True)
    print(f"results go to {logs}")
    print("| file | passed | skipped | expected failures | unexpected successes | listed | fails on the CPU | fails |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    entries, used, fails = expected(HERE / "not_passed.txt"), set(), []
    for name in request.files or files:
        path, classes = files[name]
        every = request.every if name == "test_ops.py" else 1
        log = logs / f"{name.replace('/', '-')}.jsonl"
        states = run(path, classes, every, "privateuse1", log)
        control = {}
        if any(state in FAILED and on_the_cpu(test) != test for test, (state, _) in states.items()):
            control = run_on_the_cpu(path, states, every, log.with_suffix(".cpu.jsonl"))
        waited_for = {test for test in states if re.search(AT_THE_CALL.get(name, NONE), test)}
        queued = {test: state for test, state in states.items() if test not in waited_for}
        fails += report(name, name, queued, control, entries, used)
        if waited_for:
            waited = {test: states[test] for test in waited_for}
            fails += report(name, f"{name}, waited for", waited, control, entries, used)
    for line in fails:
        print(line)
    stale = [entry for entry in entries if entry not in used and entry[0] in (request.files or files)]
    for name, pattern, _ in stale if request.every == 1 else []:
        print(f"not_passed.txt: {name} {pattern} names no test that fails; take the line out")
    return 1 if fails or (stale and request.every == 1) else 0


def run_on_the_cpu(path: pathlib.Path, states: dict, every: int, log: pathlib.Path) -> dict:
    """Those that failed, and no others: the rest are written down as done."""
    failed = {on_the_cpu(test) for test, (state, _) in states.items() if state in FAILED}
    with log.open("a") as file:
        for test in states:
            if on_the_cpu(test) not in failed:
                file.write(json.dumps({"test": on_the_cpu(test), "state": "passed"}) + "\n")
    classes = "^(" + "|".join(sorted({test.split(".")[0] for test in failed})) + ")$"
    return run(path, classes, every, "cpu", log)


if __name__ == "__main__":
    sys.exit(main())
