"""DLPack for tensors of millrace.

torch exchanges tensors of a device that it does not know as kDLExtDev, and does so in C++; its methods in Python look for
the name that the device had before it was renamed. These put ours in their place, for our tensors alone.
"""

import functools

import torch
from torch.utils.dlpack import DLDeviceType

_KNOWS_NO_STREAMS = None
_SAME_STREAM = -1


def register() -> None:
    tensor = torch.Tensor
    tensor.__dlpack_device__ = _ours_or(tensor.__dlpack_device__, _device)
    tensor.__dlpack__ = _ours_or(tensor.__dlpack__, functools.partial(_capsule, tensor.__dlpack__))


def _ours_or(theirs, ours):
    @functools.wraps(theirs)
    def method(self, **keywords):
        is_ours = self.device.type == "millrace" and not torch.overrides.has_torch_function_unary(self)
        return ours(self, **keywords) if is_ours else theirs(self, **keywords)

    return method


def _device(tensor) -> tuple:
    return DLDeviceType.kDLExtDev, tensor.device.index


def _capsule(make, tensor, *, stream=_SAME_STREAM, **keywords):
    """`stream`: what is to read the tensor. -1, as torch.from_dlpack has it: whatever is on the current stream later; the
    number of another stream of millrace's, which waits; None: somebody who knows no streams, and gets the tensor once it
    is there."""
    if stream is _KNOWS_NO_STREAMS:
        torch.accelerator.current_stream(tensor.device).synchronize()
    elif stream != _SAME_STREAM:
        current = torch.accelerator.current_stream(tensor.device)
        reader = torch.Stream(stream_id=stream, device_index=tensor.device.index, device_type=current.device_type)
        reader.wait_stream(current)
        tensor.record_stream(reader)
    return make(tensor, **keywords)
