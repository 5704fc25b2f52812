"""python -m millrace_torch_cuda: versions, the device, and whether torch's CUDA memory works by Millrace's allocator."""

import gc
import platform
import threading

import torch

from . import library, settings, streams
from .parallel import ParallelInference

FAILED, NOT_RUN = 1, 77


def report() -> int:
    """Prints it all; 0 if every check held, 1 if one did not, 77 where there is no GPU or no library."""
    print(f"torch          {torch.__version__}")
    print(f"Python         {platform.python_version()} on {platform.system()} {platform.machine()}")
    try:
        print(f"library        {library.library_path()}, for torch {library.built_for()}")
    except library.LibraryMissing as error:
        print(f"self-test: not run: {error}")
        return NOT_RUN
    if not torch.cuda.is_available():
        print("self-test: not run: torch finds no CUDA device")
        return NOT_RUN
    settings.install()
    for index in range(torch.cuda.device_count()):
        print(f"cuda:{index}         {torch.cuda.get_device_name(index)}")
    failures = [name for name, check in _CHECKS.items() if not _holds(name, check)]
    print(settings.describe_memory(), end="")
    if failures:
        print(f"self-test: FAIL, {len(failures)} of {len(_CHECKS)} checks: {', '.join(failures)}")
        return FAILED
    print(f"self-test: PASS, {len(_CHECKS)} checks")
    return 0


def _holds(name: str, check) -> bool:
    gc.collect()
    torch.cuda.synchronize()
    try:
        problem = check()
    except Exception as error:
        problem = f"{type(error).__name__}: {error}".splitlines()[0]
    print(f"  {name}: {problem or 'ok'}", flush=True)
    return problem is None


def _differs(what: str, found, expected):
    return None if found == expected else f"{what} is {found}, and not {expected}"


def _backend():
    return _differs("the backend", torch.cuda.get_allocator_backend(), "millrace")


def _counts():
    before = torch.cuda.memory_stats()
    tensors = [torch.empty(size, dtype=torch.uint8, device="cuda") for size in (1, 512, 4096, 1 << 20, 5 << 20, 64 << 20)]
    now = torch.cuda.memory_stats()
    blocks = now["allocation.all.current"] - before["allocation.all.current"]
    asked = sum(tensor.numel() for tensor in tensors)
    held = now["allocated_bytes.all.current"] - before["allocated_bytes.all.current"]
    del tensors
    after = torch.cuda.memory_allocated()
    return (_differs("allocation.all.current", blocks, 6) or
            (None if asked <= held <= 1.3 * asked else f"{asked} bytes were asked for, and {held} are held") or
            _differs("what is allocated after all was freed", after, before["allocated_bytes.all.current"]))


def _reuse():
    first = torch.empty(1000, device="cuda")
    address = first.data_ptr()
    del first
    return _differs("the next block's address", torch.empty(1000, device="cuda").data_ptr(), address)


def _streams_apart():
    """What another stream still reads is not handed out on the first."""
    one, other = torch.cuda.Stream(), torch.cuda.Stream()
    wrong = 0
    for turn in range(20):
        with torch.cuda.stream(one):
            values = torch.full((1 << 20,), float(turn), device="cuda")
        other.wait_stream(one)
        with torch.cuda.stream(other):
            torch.cuda._sleep(2_000_000)
            copy = values + 0
        values.record_stream(other)
        del values
        with torch.cuda.stream(one):
            overwrite = torch.full((1 << 20,), -1.0, device="cuda")
        torch.cuda.synchronize()
        wrong += int((copy != turn).sum().item() != 0)
        del overwrite
    return _differs("the number of turns in which memory was overwritten too early", wrong, 0)


def _empty_cache():
    torch.empty(256 << 20, dtype=torch.uint8, device="cuda")
    torch.cuda.synchronize()
    before = torch.cuda.memory_reserved()
    torch.cuda.empty_cache()
    after = torch.cuda.memory_reserved()
    return None if after < before else f"{before} bytes were reserved, and {after} are after empty_cache"


def _out_of_memory():
    total = torch.cuda.get_device_properties(0).total_memory
    told = []
    torch._C._cuda_attach_out_of_memory_observer(lambda *figures: told.append(figures))
    torch.cuda.set_per_process_memory_fraction(0.25)
    try:
        torch.empty(total // 2, dtype=torch.uint8, device="cuda")
        return "half of the memory was had with a quarter allowed"
    except torch.OutOfMemoryError as error:
        problem = None if "Tried to allocate" in str(error) else f"the error does not say what was tried: {error}"
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    return problem or _differs("how often observers were told", len(told), 1) or _reuse()


def _threads():
    """Every value that 8 threads write is there when they read it."""
    errors = []

    def work(number):
        with streams.thread_stream():
            for turn in range(200):
                size = 1 + (turn * 7919 + number * 104729) % 300_000
                values = torch.full((size,), float(turn), device="cuda")
                doubled = values + values
                if turn % 20 == 0 and not bool((doubled == 2 * turn).all().item()):
                    errors.append((number, turn))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return None if not errors else f"wrong values in thread and turn {errors[:3]}"


def _parallel_inference():
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.GELU(), torch.nn.Linear(64, 8)).cuda().eval()
    batches = [torch.randn(16, 64, device="cuda") for _ in range(40)]
    with torch.inference_mode():
        expected = [model(batch) for batch in batches]
    with ParallelInference(model, threads=4) as inference:
        found = list(inference.map(batches))
    return None if all(map(torch.equal, found, expected)) else "results differ from those of one thread"


def _snapshot():
    torch.cuda.memory._record_memory_history(max_entries=1000)
    tensor = torch.empty(12_345, dtype=torch.uint8, device="cuda")
    snapshot = torch.cuda.memory._snapshot()
    torch.cuda.memory._record_memory_history(enabled=None)
    blocks = [block for segment in snapshot["segments"] for block in segment["blocks"]
              if block["address"] == tensor.data_ptr()]
    actions = [entry for entry in snapshot["device_traces"][0] if entry["addr"] == tensor.data_ptr()]
    return (_differs("the number of the tensor's blocks", len(blocks), 1) or
            _differs("what was requested", blocks[0]["requested_size"], 12_345) or
            _differs("what is traced", [entry["action"] for entry in actions], ["alloc"]) or
            (None if actions[0]["frames"] else "the trace has no stack"))


def _graph():
    values = torch.zeros(1000, device="cuda")
    graph = torch.cuda.CUDAGraph()
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        values + 1
    torch.cuda.synchronize()
    with torch.cuda.graph(graph, stream=side):
        raised = (values + 1) * 2
    values.fill_(3)
    graph.replay()
    torch.cuda.synchronize()
    return _differs("what the graph gives", raised.unique().tolist(), [8.0])


def _mempool():
    pool = torch.cuda.MemPool()
    with torch.cuda.use_mem_pool(pool):
        tensor = torch.full((1000,), 5.0, device="cuda")
    segments = pool.snapshot()
    inside = [segment for segment in segments
              if segment["address"] <= tensor.data_ptr() < segment["address"] + segment["total_size"]]
    return (_differs("the number of the pool's segments that have the tensor", len(inside), 1) or
            _differs("what the tensor has", tensor.unique().tolist(), [5.0]))


_CHECKS = {"backend": _backend, "counts": _counts, "reuse on a stream": _reuse, "record_stream": _streams_apart,
           "empty_cache": _empty_cache, "out of memory": _out_of_memory, "threads": _threads,
           "ParallelInference": _parallel_inference, "snapshot and history": _snapshot, "CUDA graph": _graph,
           "MemPool": _mempool}
