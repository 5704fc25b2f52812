"""Steps a second of training ResNet-50 or BERT-base, one thread, with f16 autocast; the losses, to be compared."""

import sys
import time

import side


def main() -> int:
    request = side.parse(__doc__, model="resnet50", batch=32, steps=40, warm_up=10)
    import torch

    import models
    torch.manual_seed(0)
    if request.model == "resnet50":
        model = models.resnet50().cuda()
        inputs = torch.randn(request.batch, 3, 224, 224, device="cuda")
        targets = torch.randint(0, 1000, (request.batch,), device="cuda")
    else:
        model = torch.nn.Sequential(models.Encoder(12, 768, 12), torch.nn.Linear(768, 1000)).cuda()
        inputs = torch.randint(0, 30522, (request.batch, 128), device="cuda")
        targets = torch.randint(0, 1000, (request.batch,), device="cuda")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    losses = []

    def step():
        with torch.autocast("cuda", torch.bfloat16):
            loss = torch.nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.detach())

    for _ in range(request.warm_up):
        step()
    torch.cuda.synchronize()
    begin = time.perf_counter()
    for _ in range(request.steps):
        step()
    torch.cuda.synchronize()
    took = time.perf_counter() - begin
    side.tell(request, steps_per_second=round(request.steps / took, 3), last_loss=losses[-1].item(), **side.memory())
    return 0


if __name__ == "__main__":
    sys.exit(main())
