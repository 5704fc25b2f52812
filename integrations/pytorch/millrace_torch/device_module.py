"""`torch.millrace`."""

import atexit
import contextlib
import os
import typing

import torch

from . import _C


def is_available() -> bool:
    return _C.device_count() > 0


_initialized = True  # torch's checkpoints keep the state of random numbers only then


def init() -> None:
    _lazy_init()


def is_initialized() -> bool:
    return not _is_in_bad_fork()


def _lazy_init() -> None:
    """Devices open when they are used first; torch waits for none that has not been through this."""
    if _is_in_bad_fork():
        raise RuntimeError("millrace was used before this process was forked, and can't be in the child: its threads "
                           "are the parent's. Use the multiprocessing start method 'spawn', or fork before the first "
                           "tensor on the device")


_forked = False


def _is_in_bad_fork() -> bool:
    return _forked


def _after_fork() -> None:
    global _forked
    _forked = any(_C.is_open(index) for index in range(_C.device_count()))


os.register_at_fork(after_in_child=_after_fork)


def device_count() -> int:
    return _C.device_count()


def current_device() -> int:
    return _C.current_device()


def _index(device=None) -> int:
    if device is None:
        return _C.current_device()
    if isinstance(device, int):
        return device
    device = torch.device(device)
    if device.type != "millrace":
        raise ValueError(f"expected a device of millrace, and got {device}")
    return _C.current_device() if device.index is None else device.index


def set_device(device) -> None:
    _C.exchange_device(_index(device))


def synchronize(device=None) -> None:
    """Waits for all that was put on the device; raises the first failure."""
    _C.synchronize(_index(device))


class device:
    """The device is current in the block."""

    def __init__(self, device):
        self.index = -1 if device is None else _index(device)
        self.before = -1

    def __enter__(self):
        if self.index >= 0:
            self.before = _C.exchange_device(self.index)

    def __exit__(self, *_):
        if self.index >= 0:
            _C.exchange_device(self.before)


class device_of(device):
    """The tensor's device is current in the block; a tensor of another kind is no change."""

    def __init__(self, tensor):
        super().__init__(tensor.device if tensor.device.type == "millrace" else None)


def get_device_name(device=None) -> str:
    return f"Millrace host device {_index(device)}"


class DeviceProperties(typing.NamedTuple):
    """Of a device: its name, the bytes that it may take, and how many operators it runs at once."""

    name: str
    total_memory: int
    multi_processor_count: int


def get_device_properties(device=None) -> DeviceProperties:
    index = _index(device)
    return DeviceProperties(get_device_name(index), memory_stats(index)["limit"], _C.workers(index))


def get_device_capability(device=None) -> dict:
    return torch.accelerator.get_device_capability(_index(device))


def can_device_access_peer(device, peer_device) -> bool:
    """Copies between devices are made by the host, which reaches all of them."""
    return _index(device) != _index(peer_device)


def is_bf16_supported(including_emulation: bool = True) -> bool:
    return True


class _Kind(type):
    """What is made is torch's own, which torch's functions ask for by its exact type."""

    def __instancecheck__(cls, instance):
        return isinstance(instance, cls.kind) and instance.device.type == "millrace"


class Stream(metaclass=_Kind):
    """torch.Stream, of millrace."""

    kind = torch.Stream

    def __new__(cls, device=None, priority=0, **kwargs):
        if not kwargs:
            kwargs["device"] = torch.device("millrace", _index(device))
        return torch.Stream(priority=priority, **kwargs)


class Event(metaclass=_Kind):
    """torch.Event, of millrace."""

    kind = torch.Event

    def __new__(cls, enable_timing=False, **kwargs):
        return torch.Event(device="millrace", enable_timing=enable_timing, **kwargs)


def current_stream(device=None):
    return torch.accelerator.current_stream(_index(device))


def default_stream(device=None):
    return torch.Stream(stream_id=0, device_index=_index(device), device_type=_device_type())


def _device_type() -> int:
    return torch.Stream(device="millrace").device_type


def set_stream(stream) -> None:
    torch.accelerator.set_stream(stream)


class StreamContext:
    """The stream is the thread's in the block, and its device current; none is no change."""

    def __init__(self, stream):
        self.stream = stream

    def __enter__(self):
        if self.stream is not None:
            self.device = _C.current_device()
            self.before = current_stream(self.stream.device)
            set_stream(self.stream)
        return self.stream

    def __exit__(self, *_):
        if self.stream is not None:
            set_stream(self.before)
            _C.exchange_device(self.device)


def stream(stream):
    """As StreamContext."""
    return StreamContext(stream)


@contextlib.contextmanager
def thread_stream(device=None):
    """A stream that is the thread's alone in the block, where the device has one to spare."""
    index = _index(device)
    number = _C.lease_stream(index)
    mine = torch.Stream(stream_id=number, device_index=index, device_type=_device_type())
    try:
        with stream(mine):
            yield mine
    finally:
        _C.give_back_stream(index, number)


# Memory

def memory_stats(device=None) -> dict:
    """The runtime's own figures, in bytes, exact: see MemoryStats in millrace/device.h."""
    return _C.memory(_index(device), False)


def pinned_memory_stats(device=None) -> dict:
    return _C.memory(_index(device), True)


def memory_snapshot() -> list:
    """All memory of the devices that are open, as torch.cuda.memory_snapshot lists it: segments with their blocks.

    What was asked for is not kept: requested_size is what the allocation has, rounded up.
    """
    return [segment for index in range(device_count()) if _C.is_open(index) for segment in _C.memory_snapshot(index)]


def memory_allocated(device=None) -> int:
    return memory_stats(device)["live"]


def max_memory_allocated(device=None) -> int:
    return memory_stats(device)["peak_live"]


def memory_reserved(device=None) -> int:
    return memory_stats(device)["committed"]


def max_memory_reserved(device=None) -> int:
    return memory_stats(device)["peak_committed"]


def mem_get_info(device=None) -> tuple:
    """Bytes that can still be taken, and bytes in all, under the limit."""
    stats = memory_stats(device)
    return stats["limit"] - stats["committed"], stats["limit"]


def reset_accumulated_memory_stats(device=None) -> None:
    """What torch.accelerator.memory_stats counts begins anew; memory_stats here never does."""
    torch._C._accelerator_resetAccumulatedStats(_index(device))


def reset_peak_memory_stats(device=None) -> None:
    torch._C._accelerator_resetPeakStats(_index(device))


def empty_cache() -> None:
    torch._C._accelerator_emptyCache()


def set_per_process_memory_fraction(fraction: float, device=None) -> None:
    _C.set_memory_fraction(_index(device), fraction)


def get_per_process_memory_fraction(device=None) -> float:
    """The limit as a part of what the device has."""
    index = _index(device)
    return memory_stats(index)["limit"] / _C.memory_bytes(index)


def set_memory_limit(bytes: int, device=None) -> None:
    """At least what is in tensors now."""
    _C.set_memory_limit(_index(device), bytes)


# Random numbers

class _Generators:
    """The devices' own, by index; each is made when it is first asked for."""

    def __getitem__(self, index):
        return _C.default_generator(index)

    def __len__(self):
        return device_count()

    def __iter__(self):
        return (self[index] for index in range(len(self)))


default_generators = _Generators()


def manual_seed(seed: int) -> None:
    _C.default_generator(-1).manual_seed(int(seed))


def manual_seed_all(seed: int) -> None:
    for index in range(device_count()):
        _C.default_generator(index).manual_seed(int(seed))


def initial_seed() -> int:
    return _C.default_generator(-1).initial_seed()


def seed_all() -> None:
    for index in range(device_count()):
        _C.default_generator(index).seed()


def get_rng_state_all() -> list:
    return [get_rng_state(index) for index in range(device_count())]


def set_rng_state_all(states) -> None:
    for index, state in enumerate(states):
        set_rng_state(state, index)


def seed() -> None:
    _C.default_generator(-1).seed()


def get_rng_state(device="millrace"):
    return _C.default_generator(_index(device)).get_state()


def set_rng_state(state, device="millrace") -> None:
    _C.default_generator(_index(device)).set_state(state)


def get_amp_supported_dtype() -> list:
    return [torch.bfloat16, torch.float16]


# So that what is still to run finds its library in memory.
atexit.register(_C.begin_exit)
