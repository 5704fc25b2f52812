"""The subcommand: what may be asked for, rounds until the time is over, lines, JSON and exit codes."""

import argparse
import contextlib
import dataclasses
import itertools
import json
import secrets
import signal
import sys
import threading
import time

import torch

from .kinds import KINDS, Kind
from .runner import Options, Report, run

DONE, FOUND_ERRORS, USAGE, DEVICE_FAILED, INTERRUPTED = 0, 1, 2, 4, 5


def add_arguments(parser: argparse.ArgumentParser, kinds=KINDS) -> None:
    names = [kind.name for kind in kinds]
    parser.add_argument("kind", nargs="?", choices=[*names, "all"], default="all", metavar="KIND",
                        help=f"what to stress: {', '.join(names)} or all (default)")
    parser.add_argument("--threads", type=_from_1_to(256), default=8, help="default 8")
    parser.add_argument("--iterations", type=_from_1_to(10**9), default=0, help="of each kind, over all threads")
    parser.add_argument("--seed", type=_from_1_to(2**63 - 1, 0), help="repeats a run (default: one from the system)")
    parser.add_argument("--seconds", type=_seconds, default=0, help="go on with further seeds for this long")
    parser.add_argument("--device", type=device_named, default=argparse.SUPPRESS, help="default millrace:0")
    parser.add_argument("--chaos", action="store_true", help="random delays and a random order between streams")
    parser.add_argument("--protect", action="store_true", help="name uses of memory that no wait orders")
    parser.add_argument("--json", metavar="FILE", help="write JSON to a file, or to standard output for -")


def _from_1_to(high: int, low: int = 1):
    def number(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"expected a number from {low} to {high}, and got {text}")
        return value

    return number


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected how many seconds, and got {text}")
    return value


def device_named(text: str) -> torch.device:
    try:
        device = torch.device(text)
    except RuntimeError as error:
        raise argparse.ArgumentTypeError(f"expected millrace:0 or cpu, and got {text}") from error
    if device.type not in ("millrace", "cpu"):
        raise argparse.ArgumentTypeError(f"expected millrace:0 or cpu, and got {text}")
    return torch.device("cpu") if device.type == "cpu" else torch.device("millrace", device.index or 0)


def stress(request: argparse.Namespace, kinds=KINDS) -> int:
    """Every chosen kind once, and again with further seeds until the time is over. A kind that found something is not
    run again: its seed repeats it. Returns an exit code."""
    if code := _refused(request):
        return code
    # The stress has its threads already; more within each operator of the CPU's would only wait for one another.
    torch.set_num_threads(1)
    seed = secrets.randbits(32) if request.seed is None else request.seed
    entries = [_Entry(kind, _options(request, kind, seed)) for kind in kinds if request.kind in ("all", kind.name)]
    try:
        output = _output(request.json)
    except OSError as error:
        print(f"millrace_torch: --json cannot be written: {error}", file=sys.stderr)
        return USAGE
    quiet = output is sys.stdout
    with _interrupts() as stop:
        _run_rounds(entries, request.seconds, stop, quiet)
    if request.seconds and not quiet:
        for entry in entries:
            _print(entry)
    if stop.is_set() and not quiet:
        print("interrupted: the results above are partial")
    if output:
        _write(output, entries, stop.is_set())
    if any(entry.report.errors for entry in entries):
        return FOUND_ERRORS
    return INTERRUPTED if stop.is_set() else DONE


@dataclasses.dataclass
class _Entry:
    """A kind, what its last round was run with, and what came of all its rounds."""

    kind: Kind
    options: Options
    report: Report = dataclasses.field(default_factory=Report)


def _refused(request: argparse.Namespace) -> int:
    if request.device.type == "cpu":
        if request.chaos or request.protect:
            print("millrace_torch: --chaos and --protect are modes of millrace's devices, and --device is cpu",
                  file=sys.stderr)
            return USAGE
        return DONE
    found = torch.get_device_module(request.device).device_count()
    if request.device.index >= found:
        print(f"millrace_torch: expected one of the {found} devices of millrace, and got {request.device}",
              file=sys.stderr)
        return DEVICE_FAILED
    return DONE


def _options(request: argparse.Namespace, kind: Kind, seed: int) -> Options:
    return Options(request.threads, request.iterations or kind.iterations, seed, request.device, request.chaos,
                   request.protect)


def _run_rounds(entries: list, seconds: float, stop: threading.Event, quiet: bool) -> None:
    start = time.perf_counter()
    first = entries[0].options.seed
    for number in itertools.count():
        for entry in entries:
            if stop.is_set() or (number > 0 and time.perf_counter() - start >= seconds):
                return
            if number > 0 and not entry.report.passed:
                continue
            entry.options = dataclasses.replace(entry.options, seed=first + number)
            with _progress(entry) as progress:
                entry.report.add(run(entry.kind, entry.options, stop, progress))
            if not seconds and not quiet:
                _print(entry)
        if not seconds or not any(entry.report.passed for entry in entries):
            return


@contextlib.contextmanager
def _interrupts():
    """An event that Ctrl-C and SIGTERM set. The second of them ends the process at once."""
    stop = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)

    def note(*_):
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
        stop.set()

    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _progress(entry: _Entry):
    """One line on a terminal, drawn over itself and gone at the end. Silent anywhere else."""
    if not sys.stderr.isatty():
        yield lambda done, errors: None
        return
    clear = "\r\033[K"

    def show(done: int, errors: int) -> None:
        print(f"{clear}{entry.kind.noun} ops: {done}/{entry.options.iterations}, errors={errors}", end="",
              file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        print(clear, end="", file=sys.stderr, flush=True)


def _print(entry: _Entry) -> None:
    kind, options, report = entry.kind, entry.options, entry.report
    if report.expected == 0:
        return
    print(f"{kind.noun} ops: {report.done}/{report.expected} in {report.seconds:.2f}s, errors={report.errors}")
    for difference in report.differences:
        print(f"  {difference}")
    if report.errors:
        print(f"  to repeat: python -m millrace_torch stress {kind.name} --threads {options.threads} --iterations "
              f"{options.iterations} --seed {options.seed} --device {options.device}"
              f"{' --chaos' if options.chaos else ''}{' --protect' if options.protect else ''}")
    print(f"{kind.noun} operations stress test: {_verdict(report)}", flush=True)


def _verdict(report: Report) -> str:
    if report.errors:
        return "FAIL"
    return "PASS" if report.passed else "PARTIAL"


def _output(path):
    """Opened before the work, which would be lost if it could not be written."""
    if not path:
        return None
    return sys.stdout if path == "-" else open(path, "w", encoding="utf-8")


def _write(output, entries: list, partial: bool) -> None:
    results = [
        {"kind": entry.kind.name, "device": str(entry.options.device), "threads": entry.options.threads,
         "iterations": entry.report.expected, "done": entry.report.done, "errors": entry.report.errors,
         "seconds": entry.report.seconds, "seed": entry.options.seed, "passed": entry.report.passed,
         "differences": entry.report.differences}
        for entry in entries if entry.report.expected
    ]
    document = {"stress": results, **({"partial": True} if partial else {})}
    output.write(json.dumps(document, indent=2) + "\n")
    if output is not sys.stdout:
        output.close()
