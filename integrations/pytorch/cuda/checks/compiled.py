"""torch.compile(mode="reduce-overhead") on three models, and CUDA graphs that 8 threads replay; results against eager's."""

import sys
import threading

import side


def main() -> int:
    request = side.parse(__doc__, threads=8, turns=10)
    import torch

    import models
    torch.manual_seed(0)
    cases = {
        "minilm": (models.Encoder().half().cuda().eval(), torch.randint(0, 30522, (4, 64), device="cuda")),
        "mlp": (torch.nn.Sequential(torch.nn.Linear(256, 1024), torch.nn.GELU(), torch.nn.Linear(1024, 256)).cuda().eval(),
                torch.randn(32, 256, device="cuda")),
        "resnet50": (models.resnet50().cuda().eval(), torch.randn(4, 3, 64, 64, device="cuda")),
    }
    failed = 0
    for name, (model, inputs) in cases.items():
        worst = compiled(model, inputs, request.turns)
        failed += worst > 5e-2
        side.tell(request, model=name, way="reduce-overhead", worst_difference=worst)
    for name, (model, inputs) in cases.items():
        wrong = graphs(model, inputs, request.threads, request.turns)
        failed += wrong
        side.tell(request, model=name, way="graphs", wrong=wrong)
    return 1 if failed else 0


def compiled(model, inputs, turns: int) -> float:
    """The largest difference to eager results, over what is largest in those."""
    import torch
    fast = torch.compile(model, mode="reduce-overhead")
    worst = 0.0
    with torch.no_grad():
        expected = model(inputs).float()
        for _ in range(turns):
            torch.compiler.cudagraph_mark_step_begin()
            found = fast(inputs).float()
            worst = max(worst, ((found - expected).abs().max() / expected.abs().max()).item())
    return worst


def graphs(model, inputs, threads: int, turns: int) -> int:
    """How many replays, by threads with a graph each, gave something else than the first."""
    import torch
    wrong, capturing = [0] * threads, threading.Lock()

    def work(number):
        stream = torch.cuda.Stream()
        mine = inputs.clone()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream), torch.no_grad():
            expected = model(mine)
            stream.synchronize()
            graph = torch.cuda.CUDAGraph()
            with capturing, torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                result = model(mine)
            for _ in range(turns):
                graph.replay()
                model(mine)  # eager in between
                wrong[number] += not torch.allclose(result.float(), expected.float(), rtol=1e-2, atol=1e-2)

    torch.cuda.synchronize()
    side.in_threads(threads, work)
    return sum(wrong)


if __name__ == "__main__":
    sys.exit(main())
