"""Sums one JUnit file of ctest or pytest: sum_junit.py FILE STATUS, the exit status of what wrote it.

Prints "passed failed skipped" on standard output; on standard error what each failed test said of its
failure and at its end, and the reason of each skipped one.
"""

import sys
import xml.etree.ElementTree as ElementTree

OUTPUT_LINES = 60
FAILURE_LINES = 20


def excerpt(output: list[str]) -> list[str]:
    """Its last lines, and before them what follows the first failures that GoogleTest or a sanitizer reports:
    one ctest case can be a whole suite, whose last lines say little of a test in its middle."""
    begins = [i for i, line in enumerate(output) if ": Failure" in line or "WARNING: " in line or "ERROR: " in line]
    shown: set[int] = set()
    for begin in begins[:3]:
        shown.update(range(begin, min(begin + FAILURE_LINES, len(output))))
    end = len(output) - (OUTPUT_LINES if not shown else 12)
    shown.update(range(max(end, 0), len(output)))
    lines = []
    previous = -1
    for i in sorted(shown):
        if i != previous + 1:
            lines.append("...")
        lines.append(output[i])
        previous = i
    return lines


def status_of(case) -> str:
    """ctest says it; pytest adds an element where a case did not pass."""
    if case.get("status") is not None:
        return case.get("status")
    if case.find("failure") is not None or case.find("error") is not None:
        return "fail"
    return "disabled" if case.find("skipped") is not None else "run"


def output_of(case) -> list[str]:
    said = [case.findtext("system-out") or ""]
    said += [element.text or "" for kind in ("failure", "error") for element in case.iter(kind)]
    return "\n".join(said).strip().splitlines()


def main() -> int:
    path, ctest_status = sys.argv[1], int(sys.argv[2])
    passed = failed = skipped = 0
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name, status = case.get("name"), status_of(case)
        output = output_of(case)
        reason = next((element.get("message", "") for element in case.iter("skipped")), "")
        if status == "run":
            passed += 1
        elif status == "disabled" or reason.startswith("SKIP_"):
            skipped += 1
            said = [line.strip() for line in output if line.strip() and not line.startswith("[")]
            print(f"  skipped {name}: {said[-1] if said else reason or status}", file=sys.stderr)
        else:
            failed += 1
            print(f"  FAILED {name} ({reason or status})", file=sys.stderr)
            print("\n".join(f"    {line}" for line in excerpt(output)), file=sys.stderr)
    if ctest_status != 0 and failed == 0:
        failed = 1
        print(f"  it ended with {ctest_status} though no case failed", file=sys.stderr)
    print(passed, failed, skipped)
    return 0


sys.exit(main())
