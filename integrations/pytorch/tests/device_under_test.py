"""What the tests of whole models run on: MILLRACE_TEST_DEVICE, millrace:0 unless it is set; cpu tries the tests
themselves. MILLRACE_TEST_FULL=1 gives them as many steps as is claimed, not as many as a quick run needs."""

import contextlib
import os
import threading

import torch

import millrace_torch  # noqa: F401: the device is there once it is imported

_NAME = os.environ.get("MILLRACE_TEST_DEVICE", "millrace:0")
DEVICE = torch.device(_NAME if ":" in _NAME or _NAME == "cpu" else f"{_NAME}:0")
ON_CPU = DEVICE.type == "cpu"
FULL = os.environ.get("MILLRACE_TEST_FULL") == "1"

# The tests have threads of their own, and sums in one order.
torch.set_num_threads(1)


def synchronize() -> None:
    if not ON_CPU:
        torch.accelerator.synchronize(DEVICE)


def stream_of_thread():
    return contextlib.nullcontext() if ON_CPU else torch.millrace.thread_stream(DEVICE)


def in_threads(count: int, body) -> list:
    """What body(number) returned in each thread. All begin at once, each on a stream of its own; the first failure is
    raised here."""
    results = [None] * count
    failures = []
    ready = threading.Barrier(count)

    def work(number: int) -> None:
        torch.get_num_threads()  # or oneDNN would not know how many were set above
        try:
            with stream_of_thread():
                ready.wait(30)
                results[number] = body(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return results
