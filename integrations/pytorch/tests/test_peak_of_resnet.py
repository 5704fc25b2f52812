"""How much memory an inference with ResNet-50 takes beyond what is in tensors."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from support import DEVICE, FULL, memory_stats, only_millrace

MOST_OVER_LIVE = 1.10


def normalised(channels_in, channels_out, size, stride=1):
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, size, stride, size // 2, bias=False),
                         nn.BatchNorm2d(channels_out))


class Bottleneck(nn.Module):
    def __init__(self, channels, width, stride):
        super().__init__()
        self.narrow = normalised(channels, width, 1)
        self.middle = normalised(width, width, 3, stride)
        self.widen = normalised(width, 4 * width, 1)
        same = stride == 1 and channels == 4 * width
        self.skip = nn.Identity() if same else normalised(channels, 4 * width, 1, stride)

    def forward(self, values):
        inner = self.widen(F.relu(self.middle(F.relu(self.narrow(values)))))
        return F.relu(inner + self.skip(values))


class ResNet50(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = normalised(3, 64, 7, 2)
        blocks, channels = [], 64
        for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
            for number in range(count):
                blocks.append(Bottleneck(channels, width, stride if number == 0 else 1))
                channels = 4 * width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, 1000)

    def forward(self, images):
        values = F.max_pool2d(F.relu(self.stem(images)), 3, 2, 1)
        return self.head(self.blocks(values).mean((2, 3)))


@only_millrace
@pytest.mark.parametrize("images", [1, 2, 4, 8] if FULL else [1])
def test_what_is_committed_at_most_is_near_what_is_live_at_most(images):
    model = ResNet50().eval().to(DEVICE)
    torch.millrace.synchronize()
    torch.millrace.empty_cache()
    torch.millrace.reset_peak_memory_stats()
    with torch.no_grad():
        assert model(torch.rand(images, 3, 224, 224, device=DEVICE)).shape == (images, 1000)
        torch.millrace.synchronize()
    now = memory_stats()
    assert now["peak_committed"] <= MOST_OVER_LIVE * now["peak_live"], now
