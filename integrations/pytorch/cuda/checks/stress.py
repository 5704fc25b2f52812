"""Threads that allocate, free each other's tensors, record streams, empty caches, capture graphs, use MemPools and run out
of memory, with every value looked at; and what is left when they are done. --without leaves some of that out: emptied,
pools, graphs, out_of_memory, with commas between them. --stuck says each time so many seconds have passed where each
thread is."""

import faulthandler
import gc
import queue
import random
import sys
import threading
import time

import side


def main() -> int:
    request = side.parse(__doc__, threads=16, seconds=60.0, seed=1, limit_gib=8, without="", stuck=0.0)
    if request.stuck > 0:
        faulthandler.dump_traceback_later(request.stuck, repeat=True)
    left_out = set(filter(None, request.without.split(",")))
    if unknown := left_out - {"emptied", "pools", "graphs", "out_of_memory"}:
        sys.exit(f"--without knows nothing of {', '.join(sorted(unknown))}")
    import torch
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, request.limit_gib * 2**30 / total))
    torch.zeros(1, device="cuda").add_(1)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    handed_over, errors = queue.Queue(maxsize=256), []
    counts = {name: 0 for name in ("allocated", "handed_over", "recorded", "emptied", "pools", "graphs", "out_of_memory")}
    until = time.monotonic() + request.seconds
    capturing = threading.Lock()  # torch captures one graph at a time

    def work(number):
        draw = random.Random(request.seed * 1000 + number)
        try:
            own, other = torch.cuda.Stream(), torch.cuda.Stream()
            while time.monotonic() < until and not errors:
                with torch.cuda.stream(own):
                    turn(draw, own, other)
        except BaseException as error:
            errors.append(f"{type(error).__name__}: {error}")

    def turn(draw, own, other):
        size = int(2 ** draw.uniform(0, 25))
        value = float(draw.randrange(1000))
        values = torch.full((size,), value, device="cuda")
        counts["allocated"] += 1
        kind = draw.random()
        if kind < 0.4:
            check(values + values, 2 * value)
        elif kind < 0.6:
            own.synchronize()
            try:
                handed_over.put_nowait((values, value))
                counts["handed_over"] += 1
            except queue.Full:
                pass
            del values
            try:
                theirs, expected = handed_over.get_nowait()
                check(theirs, expected)
                own.synchronize()
            except queue.Empty:
                pass
        elif kind < 0.85:
            other.wait_stream(own)
            with torch.cuda.stream(other):
                copied = values * 3
            values.record_stream(other)
            del values
            torch.full((size,), -1.0, device="cuda")
            own.wait_stream(other)
            check(copied, 3 * value)
            copied.record_stream(own)
            counts["recorded"] += 1
        elif kind < 0.87:
            if "emptied" in left_out:
                return
            torch.cuda.empty_cache()
            counts["emptied"] += 1
        elif kind < 0.93:
            if "pools" in left_out:
                return
            pool = torch.cuda.MemPool()
            with torch.cuda.use_mem_pool(pool):
                inside = torch.full((size,), value, device="cuda")
            check(inside, value)
            del inside, pool
            counts["pools"] += 1
        elif kind < 0.95 and size < 2**20:
            if "graphs" in left_out:
                return
            with capturing:
                graph = torch.cuda.CUDAGraph()
                own.synchronize()
                with torch.cuda.graph(graph, stream=own, capture_error_mode="thread_local"):
                    result = values * 2 + 1
                graph.replay()
                check(result, 2 * value + 1)
                del graph, result
            counts["graphs"] += 1
        elif kind < 0.96:
            if "out_of_memory" in left_out:
                return
            try:
                torch.empty(request.limit_gib * 2**30, dtype=torch.uint8, device="cuda")
            except torch.OutOfMemoryError:
                counts["out_of_memory"] += 1

    def check(tensor, expected):
        low, high = (bound.item() for bound in torch.aminmax(tensor))
        if low != expected or high != expected:
            errors.append(f"{expected} was written, and {low} to {high} are there")

    workers = [threading.Thread(target=work, args=(number,)) for number in range(request.threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    while not handed_over.empty():
        handed_over.get()
    gc.collect()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    left = torch.cuda.memory_allocated() - before
    side.tell(request, counts=counts, errors=errors[:5], left_allocated=left, left_reserved=torch.cuda.memory_reserved(),
              **side.memory())
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
