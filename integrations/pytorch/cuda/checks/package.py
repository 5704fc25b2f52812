"""Compiles an encoder as MiniLM is, f16, ahead of time with AOTInductor, into a file for millrace_torch_bench --model."""

import argparse
import pathlib
import sys


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=pathlib.Path, help="the package to write, FILE.pt2")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--length", type=int, default=32)
    request = parser.parse_args()
    if request.file.suffix != ".pt2":
        parser.error(f"{request.file} does not end with .pt2, as torch wants of a package")
    import torch

    import models
    torch.manual_seed(0)
    model = models.Encoder().half().cuda().eval()
    tokens = torch.randint(0, 30522, (request.batch, request.length), device="cuda")
    with torch.no_grad():
        exported = torch.export.export(model, (tokens,))
        torch._inductor.aoti_compile_and_package(exported, package_path=str(request.file.resolve()))
        packaged = torch._inductor.aoti_load_package(str(request.file.resolve()))
        difference = (packaged(tokens) - model(tokens)).abs().max().item()
    if difference > 1e-2:
        print(f"the package's results differ by {difference} from the model's", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
