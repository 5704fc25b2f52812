#!/usr/bin/env python3
"""cost.py [operators|encoder ...]: what torch.device("millrace") costs beside the CPU's eager operators.

operators: the time of one call in a row of many on few numbers, the work and the wait at the end included, less the
           CPU's. At most 8 us are allowed.
encoder:   how often 8 threads together get through a transformer's encoder on 2 cores, as a part of what 8 threads get
           done with the CPU's eager operators, one core each at a time. At least 0.95 is wanted. Two encoders: one whose
           operators are as short as tests have them, and one of the size that embeds sentences.

Both sides take turns in one process, so that what else the machine does meets both; the median of the turns is printed
with the quartiles. Exit code 1 where a bound is missed.
"""

import argparse
import contextlib
import dataclasses
import os
import statistics
import sys
import threading
import time

import torch
from torch import nn

import millrace_torch

MOST_OVERHEAD_US = 8.0
LEAST_THROUGHPUT = 0.95
CALLS = 3000
THREADS, CORES = 8, 2
SIDES = ("cpu", "millrace")

OPERATORS = {
    "add": lambda t: t.a + t.b,
    "mul_": lambda t: t.a.mul_(1.0),
    "relu": lambda t: t.a.relu(),
    "sum": lambda t: t.a.sum(),
    "sum of a dim": lambda t: t.square.sum(1),
    "mm": lambda t: t.square @ t.square,
    "cat": lambda t: torch.cat((t.a, t.b)),
    "softmax": lambda t: t.square.softmax(1),
    "layer_norm": lambda t: nn.functional.layer_norm(t.square, (8,)),
    "copy_": lambda t: t.b.copy_(t.a),
}


class Tensors:
    """Of 64 numbers each."""

    def __init__(self, device):
        self.a, self.b = torch.rand(64, device=device), torch.rand(64, device=device)
        self.square = torch.rand(8, 8, device=device)


def wait(device: str) -> None:
    if device != "cpu":
        torch.accelerator.synchronize()


def us_a_call(operator, device: str, tensors: Tensors) -> float:
    wait(device)
    begin = time.perf_counter()
    for _ in range(CALLS):
        operator(tensors)
    wait(device)
    return (time.perf_counter() - begin) / CALLS * 1e6


def quartiles(values: list) -> tuple:
    return tuple(statistics.quantiles(values, n=4))


@torch.no_grad()
def operators(turns: int) -> bool:
    print(f"per call of an operator on 64 numbers, {CALLS} in a row, median of {turns} turns (quartiles)")
    print(f"{'':14}{'CPU us':>9}{'millrace us':>13}{'overhead us':>13}")
    tensors = {device: Tensors(device) for device in SIDES}
    within = True
    for name, operator in OPERATORS.items():
        times = {device: [] for device in SIDES}
        for device in SIDES:
            us_a_call(operator, device, tensors[device])
        for _ in range(turns):
            for device in SIDES:
                times[device].append(us_a_call(operator, device, tensors[device]))
        low, middle, high = quartiles([ours - theirs for theirs, ours in zip(times["cpu"], times["millrace"])])
        medians = [statistics.median(times[device]) for device in SIDES]
        print(f"{name:14}{medians[0]:9.2f}{medians[1]:13.2f}{middle:13.2f}  ({low:.2f} to {high:.2f})", flush=True)
        within = within and middle <= MOST_OVERHEAD_US
    return within


@dataclasses.dataclass(frozen=True)
class Encoder:
    layers: int
    width: int
    heads: int
    feedforward: int
    sequences: int  # of 32 each, a pass

    def on(self, device: str) -> tuple:
        """The model and what it is given."""
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(self.width, self.heads, self.feedforward, dropout=0.0, batch_first=True)
        model = nn.TransformerEncoder(layer, self.layers, enable_nested_tensor=False).eval().to(device)
        return model, torch.rand(self.sequences, 32, self.width).to(device)


ENCODERS = (Encoder(layers=2, width=128, heads=4, feedforward=256, sequences=4),
            Encoder(layers=6, width=384, heads=12, feedforward=1536, sequences=1))


def passes_a_second(device: str, model: nn.Module, values: torch.Tensor, seconds: float) -> float:
    """By all threads. Each waits for one pass before it begins the next, as one that answers requests does."""
    begin, stop = threading.Barrier(THREADS + 1), threading.Event()
    done = [0] * THREADS

    def work(number: int) -> None:
        torch.get_num_threads()  # else oneDNN would use every core in each thread
        stream = contextlib.nullcontext() if device == "cpu" else torch.millrace.thread_stream()
        with torch.no_grad(), stream as mine:
            begin.wait()
            while not stop.is_set():
                model(values)
                if mine is not None:
                    mine.synchronize()
                done[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    begin.wait()
    began = time.perf_counter()
    time.sleep(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - began)


def measure_encoder(encoder: Encoder, turns: int) -> bool:
    sides = {device: encoder.on(device) for device in SIDES}
    for device, side in sides.items():
        passes_a_second(device, *side, 0.5)
    rates = {device: [] for device in SIDES}
    for _ in range(turns):
        for device, side in sides.items():
            rates[device].append(passes_a_second(device, *side, 2.0))
    low, middle, high = quartiles([ours / theirs for theirs, ours in zip(rates["cpu"], rates["millrace"])])
    medians = [statistics.median(rates[device]) for device in SIDES]
    print(f"encoder of {encoder.layers} layers, width {encoder.width}, from {THREADS} threads on "
          f"{len(os.sched_getaffinity(0))} cores: {medians[0]:.0f} passes a second on the CPU, {medians[1]:.0f} on "
          f"millrace; millrace over CPU {middle:.3f} ({low:.3f} to {high:.3f}), {turns} turns", flush=True)
    return middle >= LEAST_THROUGHPUT


def encoders(turns: int) -> bool:
    return all([measure_encoder(encoder, turns) for encoder in ENCODERS])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=["operators", "encoder", []], default=[])
    parser.add_argument("--turns", type=int, default=15)
    request = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    millrace_torch.configure(workers=CORES)
    torch.set_num_threads(1)
    within = [measure(request.turns) for name, measure in (("operators", operators), ("encoder", encoders))
              if name in (request.what or ("operators", "encoder"))]
    return 0 if all(within) else 1


if __name__ == "__main__":
    sys.exit(main())
