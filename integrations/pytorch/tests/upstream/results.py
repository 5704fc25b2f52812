"""What workers share: the tests of a module, run one after the other, and a line of JSON for each."""

import faulthandler
import json
import pathlib
import time
import unittest

# What a test is given, with compilers and many types in one; past it the process ends and the test counts as hung.
SECONDS = 300


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

    def __init__(self, path: pathlib.Path):
        super().__init__()
        self.log = path.open("a")

    def before(self, test) -> None:
        """Called before each test."""

    def after(self, test) -> str:
        """Called after each; what it returns was left behind, and fails the test."""
        return ""

    def write(self, test, state: str, why: str = "") -> None:
        line = {"test": name_of(test), "state": state}
        self.log.write(json.dumps({**line, "why": why[-4000:]} if why else line) + "\n")
        self.log.flush()

    def startTest(self, test):
        super().startTest(test)
        self.state, self.why = "passed", ""
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        self.write(test, "begun")
        self.before(test)

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
        left = self.after(test)
        if left and self.state == "passed":
            self.note("failed", f"left behind: {left}")
        faulthandler.cancel_dump_traceback_later()
        self.write(test, self.state, self.why)


def read(log: pathlib.Path) -> dict:
    """The last state and the reason of each test that a log speaks of."""
    lines = [json.loads(line) for line in log.open()] if log.exists() else []
    return {line["test"]: (line["state"], line.get("why", "")) for line in lines}


def run_module(module, results: Results, log: pathlib.Path, wanted) -> None:
    """Runs the module's tests that wanted(test) says, and that the log has not yet."""
    done, ready, begin = read(log), set(), time.monotonic()
    for test in tests_in(unittest.defaultTestLoader.loadTestsFromModule(module)):
        if name_of(test) in done or not wanted(test):
            continue
        if type(test) not in ready:
            ready.add(type(test))
            type(test).setUpClass()
        test(results)
    print(f"{module.__file__}: done in {time.monotonic() - begin:.0f} s", flush=True)
