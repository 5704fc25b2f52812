"""Installing the allocator, and what it is opened with."""

import os
import warnings

from .library import checked, library

# Keys of PYTORCH_CUDA_ALLOC_CONF that mean nothing here, and why.
_WITHOUT_MEANING = {
    "max_split_size_mb": "blocks are cut by best fit",
    "max_non_split_rounding_mb": "blocks are cut by best fit",
    "large_segment_size_mb": "segments grow by what is needed",
    "garbage_collection_threshold": "free memory moves to where it is needed",
    "release_lock_on_cudamalloc": "no lock is held",
    "release_lock_on_hipmalloc": "no lock is held",
}
_geometry_said = False  # config() has said it, which goes before the environment
_SIZES = {"memory_limit": "memory_limit", "thread_cache": "thread_cache_bytes", "all_caches": "all_caches_bytes"}


def config(*, memory_limit=None, memory_fraction=None, expandable=None, native_geometry=None, thread_cache=None,
           all_caches=None, streams=None, exact_peaks=None, out_of_memory_wait=None) -> None:
    """Before install(): what each device is opened with; None leaves what it is.

    memory_limit, thread_cache, all_caches: bytes. memory_fraction: of the device's memory, 0 to 1.
    expandable: segments grow in place; True unless said. native_geometry: segments as torch's own allocator takes them, for
    programs that reckon with them; it wastes more. streams: how many of torch's streams a device may have memory for at once
    (256). exact_peaks: peaks exact while many threads allocate.
    out_of_memory_wait: seconds that an allocation may wait for memory which other streams' work still uses (1)."""
    given = {"memory_limit": memory_limit, "memory_fraction": memory_fraction, "thread_cache": thread_cache,
             "all_caches": all_caches, "streams": streams, "exact_peaks": exact_peaks, "expandable": expandable,
             "native_geometry": native_geometry}
    if native_geometry is not None:
        global _geometry_said
        _geometry_said = True
    if memory_fraction is not None and not 0 <= memory_fraction <= 1:
        raise ValueError(f"memory_fraction is {memory_fraction}; it must be from 0 to 1")
    for name, value in given.items():
        if value is None:
            continue
        if value < 0:
            raise ValueError(f"{name} is {value}; it can't be negative")
        _set(_SIZES.get(name, name), value)
    if out_of_memory_wait is not None:
        _set("out_of_memory_wait_ms", 1000 * out_of_memory_wait)


def install() -> None:
    """From here on all CUDA memory of torch's is Millrace's. Before the first use of CUDA: later it raises RuntimeError,
    which says what to do. A second call does nothing."""
    if not installed():
        if not _geometry_said and os.environ.get("MILLRACE_TORCH_NATIVE_GEOMETRY", "0") not in ("", "0"):
            config(native_geometry=True)
        _honour(os.environ.get("PYTORCH_CUDA_ALLOC_CONF") or os.environ.get("PYTORCH_ALLOC_CONF") or "")
    checked(library().millrace_torch_cuda_install())


def installed() -> bool:
    return bool(library().millrace_torch_cuda_installed())


def describe_memory(device=None) -> str:
    """What the device's memory is made of, in words: a line for each stream."""
    return library().millrace_torch_cuda_describe_memory(_index(device)).decode()


def forget_stream(stream) -> None:
    """Lets go of a torch.cuda.ExternalStream, before its owner destroys it and after the last work on memory of it."""
    library().millrace_torch_cuda_forget_stream(stream.device_index, stream.cuda_stream)


def _set(name: str, value) -> None:
    checked(library().millrace_torch_cuda_set_option(name.encode(), float(value)))


def _index(device) -> int:
    import torch
    if device is None:
        return torch.cuda.current_device()
    return device if isinstance(device, int) else torch.device(device).index or 0


def _honour(settings: str) -> None:
    """What PYTORCH_CUDA_ALLOC_CONF asks of torch's own allocator. What it asks of pinned memory is torch's still."""
    for key, value in _pairs(settings):
        if key == "per_process_memory_fraction":
            try:
                config(memory_fraction=float(value))
            except ValueError as error:
                raise ValueError(f"PYTORCH_CUDA_ALLOC_CONF's per_process_memory_fraction is invalid: {error}") from error
        elif key == "expandable_segments" and value.lower() == "false":
            config(expandable=False)
        elif key == "backend" and value != "native":
            warnings.warn(f"PYTORCH_CUDA_ALLOC_CONF asks for backend:{value}, and Millrace's allocator takes its place",
                          stacklevel=3)
        elif key in _WITHOUT_MEANING:
            warnings.warn(f"PYTORCH_CUDA_ALLOC_CONF has {key}, which means nothing to Millrace's allocator: "
                          f"{_WITHOUT_MEANING[key]}", stacklevel=3)


def _pairs(settings: str):
    depth, item = 0, ""
    for letter in settings + ",":
        depth += {"[": 1, "]": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            key, colon, value = item.partition(":")
            if colon:
                yield key.strip(), value.strip()
            item = ""
        else:
            item += letter
