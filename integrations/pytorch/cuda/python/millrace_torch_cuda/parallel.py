"""A model that many threads run at once, each on a stream of its own."""

import collections
import concurrent.futures
import queue
import threading

import torch

from .streams import thread_stream


class ParallelInference:
    """Calls a model from `threads` threads, each with a stream of its own, in torch.inference_mode.

        with ParallelInference(model, threads=8) as inference:
            future = inference.submit(batch)
            results = list(inference.map(batches))

    The model may be any callable that several threads may call at once; nn.Modules are, unless they change themselves in
    forward. Arguments may be the work of the stream that is current where submit is called: it is waited for. Results may
    be used on that stream at once.

    At most `waiting` calls wait for a thread (twice the threads unless said); submit blocks until there is room, so that a
    caller who is faster than the device does not fill its memory. What the model raises, Future.result raises.

    Thread safety: submit and map from any thread; close once."""

    def __init__(self, model, threads: int, *, device=None, waiting: int = 0):
        if threads < 1:
            raise ValueError(f"threads is {threads}; there must be one at least")
        self._model = model
        self._device = torch.device("cuda", torch.cuda.current_device()) if device is None else torch.device(device)
        self._calls = queue.Queue(maxsize=waiting or 2 * threads)
        self._ahead = threads + self._calls.maxsize
        self._closed = False
        self._closing = threading.Lock()
        self._threads = [threading.Thread(target=self._run, name=f"inference-{i}", daemon=True) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, *args, **kwargs) -> concurrent.futures.Future:
        """The model's result, later. Blocks while as many calls wait as may. RuntimeError after close."""
        future = concurrent.futures.Future()
        stream = torch.cuda.current_stream(self._device)
        ready = torch.cuda.Event()
        ready.record(stream)
        with self._closing:
            closed = self._closed
        if closed:
            raise RuntimeError("this ParallelInference is closed; make another")
        self._calls.put((future, args, kwargs, stream, ready))
        return future

    def map(self, inputs):
        """The results of model(input), in order, as they are asked for; as many inputs are taken ahead as there is room
        for. The first error ends it."""
        pending = collections.deque()
        try:
            for one in inputs:
                if len(pending) >= self._ahead:
                    yield pending.popleft().result()
                pending.append(self.submit(one))
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()

    def close(self) -> None:
        """Waits for what was submitted, and ends the threads."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()
        self._refuse_what_came_late()

    def _refuse_what_came_late(self) -> None:
        """Calls of threads that were submitting while this was closed."""
        while not self._calls.empty():
            call = self._calls.get()
            if call is not None and call[0].set_running_or_notify_cancel():
                call[0].set_exception(RuntimeError("this ParallelInference was closed meanwhile"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _run(self) -> None:
        torch.cuda.set_device(self._device)
        with thread_stream(self._device) as own, torch.inference_mode():
            while (call := self._calls.get()) is not None:
                self._answer(own, *call)
                del call

    def _answer(self, own, future, args, kwargs, stream, ready) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            own.wait_event(ready)
            result = self._model(*args, **kwargs)
            # The caller frees it after work of that stream.
            _each_tensor(result, lambda tensor: tensor.record_stream(stream))
            own.synchronize()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)


def _each_tensor(value, call) -> None:
    if isinstance(value, torch.Tensor):
        if value.is_cuda:
            call(value)
    elif isinstance(value, dict):
        for one in value.values():
            _each_tensor(one, call)
    elif isinstance(value, (list, tuple)):
        for one in value:
            _each_tensor(one, call)
