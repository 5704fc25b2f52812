"""libmillrace_torch_cuda.so: where it is, and its functions."""

import ctypes
import functools
import os
import pathlib

_NAME = "libmillrace_torch_cuda.so"


class LibraryMissing(ImportError):
    """The part for CUDA was not built, or does not fit the torch that is installed."""


def library_path() -> pathlib.Path:
    """MILLRACE_TORCH_CUDA_LIBRARY, or the file beside this one. Raises LibraryMissing."""
    named = os.environ.get("MILLRACE_TORCH_CUDA_LIBRARY")
    path = pathlib.Path(named) if named else pathlib.Path(__file__).with_name(_NAME)
    if not path.exists():
        raise LibraryMissing(f"there is no {path}: build it (cmake -S integrations/pytorch/cuda, which needs the CUDA "
                             "toolkit) and name it in MILLRACE_TORCH_CUDA_LIBRARY")
    return path


@functools.cache
def library() -> ctypes.CDLL:
    """Loads it, and with it torch. Raises LibraryMissing."""
    import torch

    path = library_path()
    if torch.version.cuda is None:
        raise LibraryMissing(f"this torch ({torch.__version__}) has no CUDA in it; install one that has")
    try:
        loaded = ctypes.CDLL(str(path))
    except OSError as error:
        raise LibraryMissing(f"{path} can't be loaded beside torch {torch.__version__}: {error}") from error
    loaded.millrace_torch_cuda_install.restype = ctypes.c_char_p
    loaded.millrace_torch_cuda_set_option.restype = ctypes.c_char_p
    loaded.millrace_torch_cuda_set_option.argtypes = [ctypes.c_char_p, ctypes.c_double]
    loaded.millrace_torch_cuda_forget_stream.restype = None
    loaded.millrace_torch_cuda_forget_stream.argtypes = [ctypes.c_int, ctypes.c_void_p]
    loaded.millrace_torch_cuda_describe_memory.restype = ctypes.c_char_p
    loaded.millrace_torch_cuda_built_for.restype = ctypes.c_char_p
    built = loaded.millrace_torch_cuda_built_for().decode()
    if torch.__version__.split("+")[0].split(".")[:2] != built.split(".")[:2]:
        raise LibraryMissing(f"{path} was built for torch {built}, and this is torch {torch.__version__}, which is another "
                             f"one inside: pip install torch=={built}, or build it anew")
    return loaded


def built_for() -> str:
    """The version of torch that the library was built for."""
    return library().millrace_torch_cuda_built_for().decode()


def checked(error) -> None:
    """Raises RuntimeError for what a function of the library gave."""
    if error is not None:
        raise RuntimeError(error.decode())
