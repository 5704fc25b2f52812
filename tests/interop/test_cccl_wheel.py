#!/usr/bin/env python3
"""Holds millrace/cuda/resource.h against CCCL's newer headers, those of the PyPI wheel nvidia-cuda-cccl.

The toolkit's own CCCL is what the unit tests are built with. The wheel's has other names for the concepts, and
cuda::mr::any_resource, which any_resource.cc uses over the driver that plays the device.
"""
import os
import subprocess
import sys

SOURCE = os.environ["MILLRACE_SOURCE_DIR"]
BUILD = os.environ["MILLRACE_BUILD_DIR"]
WHEEL = "nvidia-cuda-cccl==13.3.5.0.6"
FOLDER = os.path.join(BUILD, "cccl-wheel")


def skip(why):
    print("skipped: " + why)
    sys.exit(77)


def cached():
    """What the build was configured with."""
    options = {}
    with open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8") as cache:
        for line in cache:
            name, found, value = line.rstrip("\n").partition("=")
            if found and ":" in name:
                options[name.split(":")[0]] = value
    return options


def wheel():
    """The folder with the wheel's headers; fetched once."""
    done = os.path.join(FOLDER, "version")
    if not os.path.exists(done) or open(done, encoding="utf-8").read() != WHEEL:
        fetched = subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
             "--upgrade", "--target", FOLDER, WHEEL], capture_output=True, text=True, check=False)
        if fetched.returncode != 0:
            lines = fetched.stderr.strip().splitlines() or ["pip said nothing"]
            skip(f"pip can't get {WHEEL}: {lines[-1]}")
        with open(done, "w", encoding="utf-8") as file:
            file.write(WHEEL)
    for folder, _, files in os.walk(FOLDER):
        if folder.endswith(os.path.join("cuda")) and "memory_resource" in files:
            return os.path.dirname(folder)
    raise AssertionError(f"{WHEEL} has no cuda/memory_resource")


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(" ".join(command))
        print(done.stdout + done.stderr)
        sys.exit(1)
    return done.stdout


def main():
    options = cached()
    toolkit = options.get("MILLRACE_CCCL", "")
    if not toolkit or toolkit.endswith("NOTFOUND"):
        skip("this build has no CUDA backend, or its toolkit no CCCL")
    toolkit = os.path.dirname(toolkit) if os.path.basename(toolkit) == "cccl" else toolkit
    headers = wheel()
    include = [f"-I{SOURCE}/include", f"-I{SOURCE}/tests"]
    sanitize = [f"-fsanitize={options['MILLRACE_SANITIZE']}"] if options.get("MILLRACE_SANITIZE") else []

    program = os.path.join(FOLDER, "any_resource")
    library = os.path.join(BUILD, "lib")
    run(options["CMAKE_CXX_COMPILER"], "-std=c++20", "-O1", "-Wall", "-Wextra", "-Wshadow", "-Wundef", "-Werror",
        *sanitize, *include, "-isystem", headers, "-isystem", toolkit,
        f"{SOURCE}/tests/interop/any_resource.cc", "-o", program,
        f"{library}/libmillrace_test_support.a", f"{library}/libmillrace.a", "-lhwy", "-lgtest",
        options["CUDA_cudart_static_LIBRARY"], "-lpthread", "-ldl", "-lrt")
    print(run(program).strip())

    # nvcc's own CCCL comes after what it is given.
    run(options["CMAKE_CUDA_COMPILER"], "-std=c++20", "-arch=sm_90", "-Xcompiler=-Wall", *include, f"-I{headers}", "-c",
        f"{SOURCE}/tests/interop/resource_environment.cu", "-o", os.path.join(FOLDER, "resource_environment.o"))
    return 0


sys.exit(main())
