#!/usr/bin/env python3
"""A sentence encoder served from many threads: torch's own CUDA allocator against Millrace's.

    examples/parallel_inference.py [--weights FILE.safetensors] [--threads 1,2,4,8,16] [--seconds 3]

FILE has the weights of all-MiniLM-L6-v2 (scripts/fetch-minilm prints where it put them); without it the model is as large
as BERT-base and random. Each allocator gets a process of its own; results have to be equal, bit by bit. Needs a GPU, torch
2.11 and MILLRACE_TORCH_CUDA_LIBRARY (docs/pytorch.md). Exit status: 1 if results differ, 77 where there is no GPU.
"""

import argparse
import hashlib
import json
import math
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integrations/pytorch/cuda/python"))
LENGTH = 64  # tokens in a sentence
NO_GPU = 77


def read_safetensors(path: pathlib.Path) -> dict:
    import torch
    types = {"F32": torch.float32, "F16": torch.float16, "I64": torch.int64}
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    tensors = {}
    for name, about in json.loads(data[8:8 + size]).items():
        if name != "__metadata__":
            begin, end = (8 + size + offset for offset in about["data_offsets"])
            tensors[name] = torch.frombuffer(bytearray(data[begin:end]), dtype=types[about["dtype"]]).view(about["shape"])
    return tensors


def random_weights(layers: int, width: int) -> dict:
    import torch
    torch.manual_seed(0)
    shapes = {"embeddings.word_embeddings": (30522, width), "embeddings.position_embeddings": (512, width),
              "embeddings.token_type_embeddings": (2, width)}
    for i in range(layers):
        at = f"encoder.layer.{i}."
        shapes |= {at + f"attention.self.{part}": (width, width) for part in ("query", "key", "value")}
        shapes |= {at + "attention.output.dense": (width, width), at + "intermediate.dense": (4 * width, width),
                   at + "output.dense": (width, 4 * width)}
    weights = {name + ".weight": torch.randn(shape) * 0.02 for name, shape in shapes.items()}
    weights |= {name + ".bias": torch.zeros(shape[0]) for name, shape in shapes.items() if "embeddings" not in name}
    norms = ["embeddings.LayerNorm"] + [f"encoder.layer.{i}.{part}.LayerNorm" for i in range(layers)
                                        for part in ("attention.output", "output")]
    for name in norms:
        weights |= {name + ".weight": torch.ones(width), name + ".bias": torch.zeros(width)}
    return weights


class SentenceEncoder:
    """BERT's encoder and the mean over its tokens, eager, in half precision."""

    def __init__(self, weights: dict):
        self.w = {name: tensor.half().cuda() for name, tensor in weights.items() if tensor.is_floating_point()}
        self.layers = sum(name.endswith("attention.self.query.weight") for name in self.w)
        self.width = self.w["embeddings.LayerNorm.weight"].shape[0]
        self.heads = 12

    def linear(self, name, x):
        from torch.nn import functional
        return functional.linear(x, self.w[name + ".weight"], self.w[name + ".bias"])

    def norm(self, name, x):
        from torch.nn import functional
        return functional.layer_norm(x, (self.width,), self.w[name + ".weight"], self.w[name + ".bias"], 1e-12)

    def __call__(self, tokens):
        import torch
        batch, length = tokens.shape
        x = self.norm("embeddings.LayerNorm", self.w["embeddings.word_embeddings.weight"][tokens] +
                      self.w["embeddings.position_embeddings.weight"][:length] +
                      self.w["embeddings.token_type_embeddings.weight"][0])
        size = self.width // self.heads
        for i in range(self.layers):
            at = f"encoder.layer.{i}."
            q, k, v = (self.linear(at + f"attention.self.{part}", x).view(batch, length, self.heads, size).transpose(1, 2)
                       for part in ("query", "key", "value"))
            mixed = torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(size), dim=-1) @ v
            mixed = mixed.transpose(1, 2).reshape(batch, length, self.width)
            x = self.norm(at + "attention.output.LayerNorm", x + self.linear(at + "attention.output.dense", mixed))
            inner = torch.nn.functional.gelu(self.linear(at + "intermediate.dense", x))
            x = self.norm(at + "output.LayerNorm", x + self.linear(at + "output.dense", inner))
        return torch.nn.functional.normalize(x.mean(dim=1), dim=-1)


def serve(request) -> None:
    """One side: a line of JSON with sentences a second for each number of threads, and a digest of the vectors."""
    import torch

    import millrace_torch_cuda
    if request.side == "millrace":
        millrace_torch_cuda.install()
    weights = read_safetensors(request.weights) if request.weights else random_weights(12, 768)
    model = SentenceEncoder(weights)
    torch.manual_seed(1)
    sentences = [torch.randint(1000, 30000, (1, LENGTH), device="cuda") for _ in range(64)]
    rates = {}
    for threads in request.threads:
        with millrace_torch_cuda.ParallelInference(model, threads=threads) as inference:
            vectors = list(inference.map(sentences))
            begin, count = time.perf_counter(), 0
            while time.perf_counter() - begin < request.seconds:
                count += sum(1 for _ in inference.map(sentences))
            rates[threads] = count / (time.perf_counter() - begin)
    digest = hashlib.sha256(torch.cat(vectors).float().cpu().numpy().tobytes()).hexdigest()
    print(json.dumps({"rates": rates, "digest": digest}))


def compare(request) -> int:
    sides = {}
    for side in ("stock", "millrace"):
        words = [sys.executable, __file__, "--side", side, "--threads", ",".join(map(str, request.threads)), "--seconds",
                 str(request.seconds)] + (["--weights", str(request.weights)] if request.weights else [])
        sides[side] = json.loads(subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])
    most = max(rate for side in sides.values() for rate in side["rates"].values())
    print("threads  sentences a second")
    for threads in map(str, request.threads):
        for side, figures in sides.items():
            rate = figures["rates"][threads]
            print(f"{threads if side == 'stock' else '':>7}  {side:8} {rate:8.0f} {'#' * round(50 * rate / most)}")
    same = sides["stock"]["digest"] == sides["millrace"]["digest"]
    print("results: " + ("equal, bit by bit" if same else "DIFFERENT"))
    return 0 if same else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=pathlib.Path)
    parser.add_argument("--threads", type=lambda text: [int(word) for word in text.split(",")], default=[1, 2, 4, 8, 16])
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--side", choices=("stock", "millrace"), help=argparse.SUPPRESS)
    request = parser.parse_args()
    if request.side:
        serve(request)
        return 0
    import torch
    if not torch.cuda.is_available():
        print("parallel_inference: torch finds no GPU here", file=sys.stderr)
        return NO_GPU
    return compare(request)


if __name__ == "__main__":
    sys.exit(main())
