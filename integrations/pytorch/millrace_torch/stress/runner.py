"""Runs one kind on many threads, each on a stream of its own, and says what came of it."""

import dataclasses
import threading
import time

import torch

from .case import Case, Findings
from .device_side import check_at_rest, in_a_line, live_bytes, modes, stream_of_thread
from .kinds import Kind


@dataclasses.dataclass(frozen=True)
class Options:
    threads: int = 8
    iterations: int = 0  # over all threads
    seed: int = 0
    device: torch.device = torch.device("millrace", 0)
    chaos: bool = False  # random delays and a random order between streams
    protect: bool = False  # each use of memory is held against what orders it


@dataclasses.dataclass
class Report:
    done: int = 0  # iterations that ran to their end
    expected: int = 0
    errors: int = 0
    seconds: float = 0.0
    differences: list = dataclasses.field(default_factory=list)

    @property
    def passed(self) -> bool:
        return self.errors == 0 and self.done == self.expected

    def add(self, other: "Report") -> None:
        self.done += other.done
        self.expected += other.expected
        self.errors += other.errors
        self.seconds += other.seconds
        self.differences = self.differences or other.differences


class _Done:
    """How many iterations ended. Thread safety: any thread."""

    def __init__(self):
        self._lock = threading.Lock()  # protects what follows
        self._count = 0

    def one(self) -> None:
        with self._lock:
            self._count += 1

    def count(self) -> int:
        with self._lock:
            return self._count


def run(kind: Kind, options: Options, stop: threading.Event, progress=lambda done, errors: None) -> Report:
    """All iterations, or those before stop is set. progress is called now and then, on this thread."""
    findings = Findings()
    done = _Done()
    start = time.perf_counter()
    with modes(options.seed if options.chaos else None, options.protect, findings):
        live = live_bytes(options.device)
        _run_threads(kind, options, stop, findings, done, progress)
        check_at_rest(options.device, live, findings)
    return Report(done.count(), options.iterations, findings.errors, time.perf_counter() - start, findings.first)


def _run_threads(kind: Kind, options: Options, stop: threading.Event, findings: Findings, done: _Done,
                 progress) -> None:
    threads = [
        threading.Thread(target=_work, args=(kind, options, first, stop, findings, done), name=f"thread {first}")
        for first in range(options.threads)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.1)
            progress(done.count(), findings.errors)


def _work(kind: Kind, options: Options, first: int, stop: threading.Event, findings: Findings, done: _Done) -> None:
    """Each thread has the same iterations in every run: its number and those that are the count of threads apart."""
    # Asking is what gives a thread the number of torch.set_num_threads. oneDNN does not ask, and would use every core.
    torch.get_num_threads()
    try:
        with stream_of_thread(options.device):
            for index in range(first, options.iterations, options.threads):
                if stop.is_set():
                    return
                case = Case(options.device, options.seed, index, findings)
                if _ended(kind, case):
                    done.one()
    except Exception as error:
        findings.error(f"thread {first}, outside of its iterations: {in_a_line(error)}")


def _ended(kind: Kind, case: Case) -> bool:
    for variant in case.random.choices(kind.variants, k=kind.at_once):
        try:
            variant(case)
        except Exception as error:
            case.findings.error(f"{case.name()}: {variant.__name__}: {in_a_line(error)}")
            return False
    return True
