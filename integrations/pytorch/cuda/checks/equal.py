"""Results of models by 16 threads with deterministic algorithms, as digests: they have to be the same with each allocator."""

import hashlib
import os
import sys

import side


def main() -> int:
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    request = side.parse(__doc__, threads=16, turns=20)
    import torch

    import models
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    torch.manual_seed(0)
    cases = {
        "minilm": (models.Encoder().half().cuda().eval(), torch.randint(0, 30522, (4, 64), device="cuda")),
        "bert": (models.Encoder(12, 768, 12).half().cuda().eval(), torch.randint(0, 30522, (2, 64), device="cuda")),
        "resnet50": (models.resnet50().half().cuda().eval(), torch.randn(4, 3, 64, 64, device="cuda").half()),
    }
    for name, (model, inputs) in cases.items():
        digests = run(model, inputs, request.threads, request.turns)
        side.tell(request, model=name, digests=sorted(digests))
    return 0


def run(model, inputs, threads: int, turns: int) -> set:
    """The digests of all results that any thread had."""
    import torch
    digests = set()

    def work(number):
        with torch.cuda.stream(torch.cuda.Stream()), torch.inference_mode():
            for turn in range(turns):
                # Of other sizes in between, so that memory changes hands.
                model(inputs[: 1 + (turn + number) % inputs.shape[0]])
                digests.add(hashlib.sha256(model(inputs).float().cpu().numpy().tobytes()).hexdigest()[:16])

    side.in_threads(threads, work)
    return digests


if __name__ == "__main__":
    sys.exit(main())
