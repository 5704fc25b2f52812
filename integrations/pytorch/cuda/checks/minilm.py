"""Inferences a second of an encoder as MiniLM is, f16, from Python threads with a stream each."""

import sys
import threading
import time

import side


def main() -> int:
    request = side.parse(__doc__, threads="1,2,4,8,16", batches="1,8", length=64, seconds=2.0)
    import torch

    import models
    torch.manual_seed(0)
    model = models.Encoder().half().cuda().eval()
    for batch in map(int, request.batches.split(",")):
        tokens = torch.randint(0, 30522, (batch, request.length), device="cuda")
        for threads in map(int, request.threads.split(",")):
            rate = measure(model, tokens, threads, request.seconds)
            side.tell(request, batch=batch, thread_count=threads, inferences_per_second=round(rate, 1), **side.memory())
    return 0


def measure(model, tokens, threads: int, seconds: float) -> float:
    import torch
    start, stop, counts, errors = threading.Barrier(threads + 1), threading.Event(), [0] * threads, []

    def work(number):
        try:
            stream = torch.cuda.Stream()
            with torch.cuda.stream(stream), torch.inference_mode():
                for _ in range(20):
                    model(tokens)
                stream.synchronize()
                start.wait()
                while not stop.is_set():
                    model(tokens)
                    stream.synchronize()
                    counts[number] += 1
        except BaseException as error:
            errors.append(error)
            start.abort()

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    start.wait()
    begin = time.perf_counter()
    time.sleep(seconds)
    stop.set()
    for worker in workers:
        worker.join()
    if errors:
        raise errors[0]
    return sum(counts) / (time.perf_counter() - begin)


if __name__ == "__main__":
    sys.exit(main())
