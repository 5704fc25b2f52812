"""torch.device("millrace"): models run by any number of threads, asynchronously, on the host's cores.

`import torch` finds it by itself (the entry point `torch.backends`); importing it does no harm. What it adds stands in
`torch.millrace`, beside what torch has for every accelerator in `torch.accelerator`.
"""



def _autoload() -> None:
    """What `import torch` calls: importing this has done it all. It stands before torch is imported, which may be us
    first, and then torch asks for it half-way."""


import torch  # noqa: E402

try:
    from . import _built_for
except ImportError as error:
    raise ImportError("millrace_torch has not been built; pip install integrations/pytorch does it") from error
if torch.__version__.split(".")[:2] != _built_for.TORCH.split(".")[:2]:
    raise ImportError(f"millrace_torch was built against torch {_built_for.TORCH}, and this is torch {torch.__version__}, "
                      f"which is another one inside: pip install torch=={_built_for.TORCH.split('+')[0]}, or pip "
                      "uninstall millrace-torch")

from . import _C, device_module, dlpack  # noqa: E402

__all__ = ["configure", "debug", "missing_dependencies"]

# What replaces torch's CUDA allocator stands in a package of its own, which needs no part of this one.
_OF_CUDA = ("ParallelInference", "config", "describe_memory", "forget_stream", "install", "installed", "thread_stream",
            "use_thread_stream")


def __getattr__(name: str):
    if name not in _OF_CUDA:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import millrace_torch_cuda
    return getattr(millrace_torch_cuda, name)


def _register() -> None:
    torch.utils.rename_privateuse1_backend("millrace")
    torch._register_device_module("millrace", device_module)
    torch.utils.generate_methods_for_privateuse1_backend(for_storage=True)
    dlpack.register()


def configure(*, devices: int = 0, memory_limit: int = 0, workers: int = 0) -> None:
    """Before the first tensor: how many devices there are, and of each how many bytes it may take and how many threads
    run its streams; 0 leaves what it is."""
    _C.configure(devices, memory_limit, workers)


def debug(*, protect: bool = False, chaos=None, synchronous=None) -> None:
    """Looks for missing waits: `protect` names both sides of any two uses of memory that nothing orders, `chaos` is a
    seed for delays and orders that bring them about. Devices are opened again, so no tensor may be alive.

    `synchronous` looks for what fails: each operator has run when its call returns, and what its kernel raises, the call
    raises, of the same type. By itself it may be turned on and off at any time; None leaves it to the environment
    (MILLRACE_TORCH_SYNCHRONOUS)."""
    _C.debug(protect, chaos, synchronous)


def missing_dependencies(device=None) -> list:
    """What debug(protect=True) has found so far: of each, the `address` and `bytes`, and of both uses, the `earlier` and
    the `later`, the `operator`, whether it `writes`, its `stream` and the `stack` of its call."""
    return _C.missing_dependencies(device_module._index(device))


_register()
