"""Steps a second of training ResNet-50 or BERT-base, one thread, with bf16 autocast: the median of stretches, so that what
else the machine does for a moment does not count; and the last loss."""

import statistics
import sys
import time

import side


def main() -> int:
    request = side.parse(__doc__, model="resnet50", batch=32, stretches=12, steps=10, warm_up=10)
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
    rates = []
    for _ in range(request.stretches):
        begin = time.perf_counter()
        for _ in range(request.steps):
            step()
        torch.cuda.synchronize()
        rates.append(request.steps / (time.perf_counter() - begin))
    stats = torch.cuda.memory_stats()
    side.tell(request, steps_per_second=round(statistics.median(rates), 3), best=round(max(rates), 3),
              last_loss=losses[-1].item(), device_allocations=stats["num_device_alloc"],
              allocations=stats["allocation.all.allocated"], **side.memory())
    return 0


if __name__ == "__main__":
    sys.exit(main())
