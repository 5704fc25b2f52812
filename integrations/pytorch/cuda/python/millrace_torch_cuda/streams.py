"""A stream of its own for each thread."""

import contextlib
import threading

import torch

# Collecting garbage may end another thread's lease while this one takes its own.
_lock = threading.RLock()
_holders = {}  # by device and handle: how many threads have the stream; under _lock
_mine = threading.local()

# As many as torch makes for a device before it hands out the first one again.
_POOL = 32


class _Lease:
    """A stream that is the calling thread's until it ends."""

    def __init__(self, device: int):
        with _lock:
            drawn = [torch.cuda.Stream(device) for _ in range(_POOL)]
            self.stream = min(drawn, key=lambda stream: _holders.get(_key(stream), 0))
            _holders[_key(self.stream)] = _holders.get(_key(self.stream), 0) + 1

    def __del__(self):
        stream = getattr(self, "stream", None)
        if stream is None:
            return
        with _lock:
            _holders[_key(stream)] -= 1


def _key(stream):
    return stream.device_index, stream.cuda_stream


def _lease(device) -> torch.cuda.Stream:
    index = torch.cuda.current_device() if device is None else torch.device(device).index or 0
    leases = _mine.__dict__.setdefault("leases", {})
    if index not in leases:
        leases[index] = _Lease(index)
    return leases[index].stream


@contextlib.contextmanager
def thread_stream(device=None):
    """The calling thread's own stream is current within the block, and is the block's value; after it the one that was
    before. The thread keeps its stream, and finds its memory there again, until it ends. Of more than 32 threads on a
    device some share one, since torch has no more.

    Results are done on the stream, and not yet for others: wait (torch.cuda.current_stream().synchronize()), or let the
    other stream wait and call record_stream."""
    with torch.cuda.stream(_lease(device)) as _:
        yield torch.cuda.current_stream(device)


def use_thread_stream(device=None) -> None:
    """The same until the thread ends: ThreadPoolExecutor(8, initializer=use_thread_stream)."""
    torch.cuda.set_stream(_lease(device))
