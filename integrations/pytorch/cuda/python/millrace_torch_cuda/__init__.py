"""PyTorch's CUDA allocator replaced by Millrace's, and what makes inference by many threads short to write.

    import torch, millrace_torch_cuda
    millrace_torch_cuda.install()               # before the first use of CUDA; or MILLRACE_TORCH=1 in the environment

    with millrace_torch_cuda.ParallelInference(model, threads=8) as inference:
        results = list(inference.map(batches))

Where millrace_torch is installed too, all of this stands in it.
"""


def _autoload() -> None:
    """What `import torch` calls (the entry point torch.backends). It stands before torch is imported, which may be
    half-way through its own import."""
    import os
    if os.environ.get("MILLRACE_TORCH", "0") not in ("", "0"):
        install()


from .library import LibraryMissing, built_for, library_path  # noqa: E402
from .parallel import ParallelInference  # noqa: E402
from .settings import config, describe_memory, forget_stream, install, installed  # noqa: E402
from .streams import thread_stream, use_thread_stream  # noqa: E402

__all__ = ["LibraryMissing", "ParallelInference", "built_for", "config", "describe_memory", "forget_stream", "install",
           "installed", "library_path", "thread_stream", "use_thread_stream"]
