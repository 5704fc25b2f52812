"""worker.py FILE RESULTS CLASSES EVERY DEVICE NAME WAITED LEFT_OUT: runs the tests of one of upstream's files, one after the other.

A line of JSON for each goes to RESULTS; tests that have a line there are not run again, so that whoever started this
starts it again after a crash or a hang. CLASSES: a regular expression that their class fits. EVERY: of the operators of
torch's op_db each one whose name falls to it, 1 for all. DEVICE: privateuse1, or cpu, which is to fail where upstream's
test does not fit this torch. NAME: of the device that the file speaks of, which is this one here. WAITED: a regular
expression of tests whose operators are waited for. LEFT_OUT: one of tests that are not run.
"""

import atexit
import faulthandler
import importlib
import json
import os
import pathlib
import re
import shutil
import sys
import tempfile
import time
import unittest
import zlib

# What a test is given, with compilers and many types in one; past it the process ends and the test counts as hung.
SECONDS = 300


def keep_some_operators(every: int) -> None:
    """Before the file is loaded, which makes a test of each operator in the lists that it gives to `ops`."""
    from torch.testing._internal import common_device_type

    take_all = common_device_type.ops.__init__

    def take_some(self, operators, *arguments, **keywords):
        some = [op for op in operators if zlib.crc32(op.full_name.encode()) % every == 0]
        take_all(self, some or operators, *arguments, **keywords)

    common_device_type.ops.__init__ = take_some


def load(path: pathlib.Path, name: str):
    """The file as a module, speaking of this device where it speaks of the one that is named."""
    sys.path.insert(0, str(path.parent))
    if name != "millrace":
        # On disk, since processes that a test starts load it too.
        text = path.read_text().replace(f"torch_{name}", "millrace_torch").replace(name, "millrace")
        text = text.replace("OpenReg", "Millrace").replace(name.upper(), "MILLRACE")
        folder = tempfile.mkdtemp(prefix="upstream-")
        atexit.register(shutil.rmtree, folder)
        path = pathlib.Path(folder, path.name)
        path.write_text(text)
        sys.path.insert(0, folder)
    return importlib.import_module(path.stem)


def tests_in(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from tests_in(test)
        else:
            yield test


def name_of(test) -> str:
    return ".".join(test.id().split(".")[-2:])


class Results(unittest.TestResult):
    """Writes down each test as it ends, and that it has begun."""

    def __init__(self, path: pathlib.Path, waited: str):
        super().__init__()
        self.waited, self.waits = waited, False
        self.log = path.open("a")

    def write(self, test, state: str, why: str = "") -> None:
        line = {"test": name_of(test), "state": state}
        self.log.write(json.dumps({**line, "why": why[-4000:]} if why else line) + "\n")
        self.log.flush()

    def startTest(self, test):
        super().startTest(test)
        self.state, self.why = "passed", ""
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        self.write(test, "begun")
        self.wait_for_operators(bool(re.search(self.waited, name_of(test))))

    def wait_for_operators(self, waits: bool) -> None:
        import millrace_torch

        if waits != self.waits:
            self.waits = waits
            millrace_torch.debug(synchronous=waits)

    def note(self, state: str, why: str) -> None:
        if self.state != "failed":
            self.state, self.why = state, why

    def addError(self, test, error):
        self.note("failed", self._exc_info_to_string(error, test))

    addFailure = addError

    def addSubTest(self, test, subtest, error):
        if error is not None:
            self.note("failed", f"{subtest}: {self._exc_info_to_string(error, test)}")

    def addSkip(self, test, reason):
        self.note("skipped", reason)

    def addExpectedFailure(self, test, error):
        self.note("expected failure", "")

    def addUnexpectedSuccess(self, test):
        self.note("unexpected success", "")

    def stopTest(self, test):
        super().stopTest(test)
        left = leave_clean()
        if left and self.state == "passed":
            self.note("failed", f"left behind: {left}")
        faulthandler.cancel_dump_traceback_later()
        self.write(test, self.state, self.why)


def leave_clean() -> str:
    """Nothing queued, the first device and its default stream: what a test leaves is no other one's."""
    import torch

    left = ""
    for index in range(torch.millrace.device_count()):
        try:
            torch.millrace.synchronize(index)
        except RuntimeError as error:
            left = str(error)
        torch.millrace.set_stream(torch.millrace.default_stream(index))
    torch.millrace.set_device(0)
    return left


def main() -> None:
    path, log, classes, every, device, name, waited, left_out = sys.argv[1:]
    os.environ["PYTORCH_TESTING_DEVICE_ONLY_FOR"] = device
    os.environ["PYTORCH_TESTING_DEVICE_FOR_CUSTOM"] = "privateuse1"
    import torch

    import millrace_torch  # noqa: F401

    torch.set_num_threads(1)
    log = pathlib.Path(log)
    done = {json.loads(line)["test"] for line in log.open()} if log.exists() else set()
    if every != "1":
        keep_some_operators(int(every))
    module = load(pathlib.Path(path).resolve(), name)
    sys.argv[:] = [module.__file__]  # what torch's loader of tests takes for the program
    results = Results(log, waited)
    ready, begin = set(), time.monotonic()
    for test in tests_in(unittest.defaultTestLoader.loadTestsFromModule(module)):
        left = re.search(left_out, name_of(test)) or not re.search(classes, type(test).__name__)
        if left or name_of(test) in done:
            continue
        if type(test) not in ready:
            ready.add(type(test))
            type(test).setUpClass()
        test(results)
    print(f"{path}: done in {time.monotonic() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    main()
