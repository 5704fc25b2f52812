"""Mutants of what goes on where the host has no memory: frees, submissions, and what handlers are told."""

from mutants import STUCK, WRONG, mutant

ARENA_CC = "src/memory/arena.cc"
ALLOCATOR_CC = "src/memory/allocator.cc"
REPORT_CC = "src/memory/report.cc"
STATUS_H = "src/device/status.h"
HOST_CC = "src/backends/host/queue.cc"
CUDA_CC = "src/backends/cuda/queue.cc"

FAILS = WRONG + ("exception",)

RETIRED = """    {
      sync::LockGuard lock(totals_mutex_);
      sum += retired_totals_;
    }
"""
ALLOCATED = "    for (Context* context : contexts) cache_of(*context).counters().add_allocated_to(sum);\n"

NO_MEMORY = [
    mutant("refill-drops-what-it-has", "M1", ARENA_CC, "      if (out.empty()) throw;\n", "      throw;\n", "no_memory.in_the_middle_of_a_refill", FAILS,
           "a refill that can't go on forgets the blocks that it has taken"),
    mutant("free-needs-memory", "M7", ARENA_CC, "  block.own_end = own_end(own);\n", "  block.uses.reserve(block.uses.size() + 2);\n  block.own_end = own_end(own);\n",
           "no_memory.freeing_", FAILS, "a free of what is in use makes room for one more use"),
    mutant("first-free-needs-memory", "M7", ALLOCATOR_CC, "    return allocator.deallocate_without_context(address, on_misuse);\n", "    throw;\n",
           "no_memory.first_call_is_a_free", FAILS, "a thread frees only with a context"),
    mutant("free-without-context-is-not-counted", "M1 M7", ALLOCATOR_CC, "  counted.retired_totals_ += {.freed_bytes = bytes,\n                              .frees = 1,", "  counted.retired_totals_ += {.freed_bytes = 0,\n                              .frees = 0,",
           "no_memory.first_call_is_a_free", WRONG, "what a thread without a context frees stays live in the figures"),
    mutant("totals-of-the-retired-last", "M4", REPORT_CC, RETIRED + ALLOCATED, ALLOCATED + RETIRED,
           "no_memory.free_without_a_context_beside_sums", FAILS, "frees of threads without contexts are counted before the allocations"),
    mutant("free-without-context-takes-no-gate", "D1 M7", ALLOCATOR_CC, "    const sync::Gate::Pass pass = core_.try_enter();\n    if (!pass) return;  // as in deallocate\n", "",
           "no_memory.free_without_a_context_against_close", ("race", "use after free", "crash") + WRONG, "a thread without a context frees into a device that closes"),
    mutant("told-of-a-copy", "H1 S4", STATUS_H, "std::make_exception_ptr(error())", "std::make_exception_ptr(Error(error().code(), error().message(), error().context()))",
           "no_memory.told_of_a_failure", FAILS + ("crash",), "what a handler is told is described anew"),
    mutant("host-submit-needs-memory", "S15", HOST_CC, "    if (!submission.holder) submission.holder = make_holder();\n", "    submission.holder = make_holder();\n",
           "host_queue.no_memory_to_submit", WRONG + STUCK, "the host's queues make room for a submission when it comes"),
    mutant("cuda-submit-needs-memory", "S15", CUDA_CC, "goes_ahead(queue, submission, on_host) && try_begin(queue, submission, true);",
           "goes_ahead(queue, submission, on_host);\n      if (ahead && !try_begin(queue, submission, true)) return failures_.no_memory;",
           "cuda_completion.no_memory_to_submit", WRONG + STUCK, "what can't be put ahead for lack of memory is refused"),
]

SECTIONS = {
    "No memory of the host's": NO_MEMORY,
}
