"""What always holds in the core and its backends: the one source of the invariants' pages.

Everything else that the pages say of an invariant is found: the code that cites it, the scenarios that name it and what
they show, the mutants that break it.
"""

from typing import NamedTuple


class Invariant(NamedTuple):
    number: str
    holds: str
    others: str             # what else tests it
    upheld_by: tuple = ()   # files of src/ that uphold it too, and don't cite it
    unmodelled: str = ""    # why no scenario and no mutant is about it, where one of them is missing


HOST = ("the host backend's pages and clocks are no part of the flavour `checked`; they are tested as they run, under "
        "ThreadSanitizer and AddressSanitizer")
DRIVER = ("the backend below the streams' scenarios has no driver whose streams could be looked at; it is tested on a "
          "GPU, and on the host with a fake driver under ThreadSanitizer")

CORE = [
    Invariant("G1", "after `close_and_wait` returns, no pass of the gate is alive and none will be",
              "`unit_sync` gate, lifecycle"),
    Invariant("G2", "what happened before a pass ended happened before `close_and_wait` returned",
              "under TSan"),
    Invariant("G3", "leaving touches the gate no more once the closer may return",
              "under TSan and ASan"),
    Invariant("L1", "a node pushed onto a list of many producers is taken exactly once",
              "`unit_sync` mpsc_list"),
    Invariant("L2", "what happened before a push happened before the take that returns the node",
              "under TSan"),
    Invariant("R1", "an object is destroyed by whoever drops the last reference, after all use of it",
              "under TSan and ASan"),
    Invariant("F1", "of a thread that announces and then loads, and one that writes, fences and then loads, one sees "
              "the other's",
              "`unit_sync` asymmetric fence, with and without membarrier"),
    Invariant("X1", "at most one party holds a context",
              "`unit_sync` biased lock, `unit_device` context"),
    Invariant("X2", "what a party did while it held a context happened before the next one holds it",
              "under TSan"),
    Invariant("X3", "a context is retired exactly once, by its ending thread or by the closing device",
              "`unit_sync` biased lock, lifecycle"),
    Invariant("X4", "nobody waits for a context while holding another one",
              "eight threads out of memory",
              upheld_by=("memory/slow.cc",)),
    Invariant("D1", "after `close` nobody is inside the device, none gets in, and no thread of it runs",
              "lifecycle",
              upheld_by=("device/core.cc",)),
    Invariant("D2", "a context is in the list from its creation until its totals were folded",
              "accounting",
              upheld_by=("device/core.cc",)),
    Invariant("M1", "at quiet points committed = live + cached + unsent + remote + pending + free",
              "`check_accounting` at every barrier of the allocator test",
              upheld_by=("memory/",)),
    Invariant("M2", "committed never exceeds the limit, at any instant",
              "a backend that counts commits itself"),
    Invariant("M3", "the blocks of a heap tile it",
              "`unit_memory` space",
              upheld_by=("memory/space.cc",),
              unmodelled="the blocks of a heap change under its arena's mutex alone: a matter of arithmetic and not of "
                         "interleavings, which unit tests walk block by block"),
    Invariant("M4", "for sums that read frees before allocations, freed <= allocated",
              "accounting, with a reader thread"),
    Invariant("M6", "freeing raises a block's generation: second frees and late uses are seen",
              "double-free tests",
              upheld_by=("memory/allocator.cc",)),
    Invariant("M7", "a free needs no memory of the host's: a live block is freed, also by a thread that has no context",
              "`millrace stress faults`",
              upheld_by=("memory/allocator.cc", "memory/arena.cc", "memory/cover_list.h")),
    Invariant("M8", "the blocks of a listing tile its segments, which are committed; what its caller knows to be live "
              "throughout is shown as live; at quiet points the sums are the figures of `memory()`",
              "conformance memory segments, with threads that allocate and free",
              upheld_by=("memory/arena.h",)),
    Invariant("N1", "a block of a pool is in the hands of who named that pool, but for what it was asked to lend",
              "conformance memory pool, with threads",
              upheld_by=("memory/pool.cc",)),
    Invariant("N2", "a pool's memory is given back or moved only when it has no users, and what was recorded before the "
              "last one went is done",
              "conformance memory pool"),
    Invariant("N3", "restoring a checkpoint makes a pool's live blocks what they were then, or changes nothing; no block "
              "changes hands that work not yet done may use",
              "conformance pool checkpoints, random programs",
              upheld_by=("memory/restore.cc",)),
    Invariant("N4", "each range of memory that is gained or lost is told once to each observer, in the order in which it "
              "happened, by one thread at a time and with no lock held",
              "conformance memory observers"),
    Invariant("N5", "where a pool's segments come from is kept until the last of them has gone back, and is destroyed "
              "with no lock held",
              "conformance memory pool"),
    Invariant("A1", "a block is handed out again only when everything that used it is ordered before",
              "allocator test in protect mode"),
    Invariant("A2", "a block freed elsewhere is taken in exactly once, and before the arena grows",
              "allocator test, `check_accounting`",
              upheld_by=("memory/arena.cc",)),
    Invariant("A3", "memory that was allocated inside a capture is not handed out, lent or given back before the graph "
              "has been dropped and each of its launches is done",
              "`unit_backend_cuda` capture, capture branches",
              upheld_by=("memory/graph_memory.cc",)),
    Invariant("A4", "pinned memory is free only once all that was recorded on its stream before its free is done",
              "conformance pinned: what the host writes next, and staging threads; wrapped: its owner's copies",
              upheld_by=("memory/arena.cc",)),
    Invariant("A5", "in protect mode a use that its free covers with nothing but the program's own waits keeps the block "
              "from nobody on its stream, and nobody is told of its end; the memory is not hidden, lent or given back "
              "before",
              "`unit_memory` arena; conformance missing dependencies"),
    Invariant("T1", "a thread cache holds at most its portion of the budget; flush gives all of it back",
              "`unit_memory` thread_cache",
              upheld_by=("memory/thread_cache.cc",)),
    Invariant("T2", "a block is in one cache at most, and only that cache's holder takes it out",
              "pattern checks of the allocator test"),
    Invariant("P1", "looking up the address of a live block finds it",
              "`unit_memory` page_map"),
    Invariant("O1", "out of memory, nobody waits for another thread's context while holding a lock or their own",
              "eight threads out of memory"),
    Invariant("Q1", "a strand is in one place: idle, ready, parked on one point, or with one worker",
              "`unit_backend_host` queue",
              upheld_by=("backends/host/queue.cc",)),
    Invariant("Q2", "every submission accepted is reported exactly once, in the order of its queue",
              "random graphs of waits; cancel and stop"),
    Invariant("Q3", "no lock is held while the sink or an operation runs or is destroyed",
              "submit from a completion",
              upheld_by=("backends/host/queue.cc",)),
    Invariant("Q4", "ready strands have as many workers awake as there are strands or workers",
              "latency and parked-strand tests",
              upheld_by=("backends/host/queue.cc",)),
    Invariant("Q5", "a spread operation ends after each of its units was done once, and nobody touches it after that",
              "`unit_backend_host` spread, under TSan",
              upheld_by=("backends/host/queue.cc",)),
    Invariant("K1", "pages outside the hidden ranges have the protection that commit gave them",
              "`unit_backend_host` memory",
              unmodelled=HOST),
    Invariant("K2", "hidden ranges stay within the process's budget of mappings",
              "`unit_backend_host` memory",
              unmodelled=HOST),
    Invariant("K3", "the backend's count of committed bytes is the sum of its committed granules",
              "`unit_backend_host` memory, `unit_backend_cuda`",
              upheld_by=("backends/cuda/mapped_memory.h", "backends/cuda/segment_memory.h"),
              unmodelled=HOST),
    Invariant("K4", "a submission's clock contains everything that was ordered before it",
              "`unit_backend_host` protect, against a reference",
              unmodelled=HOST),
]

STREAMS = [
    Invariant("S1", "completed <= submitted <= committed <= last_used, and none ever shrinks",
              "`unit_stream` commit",
              upheld_by=("stream/progress.cc",)),
    Invariant("S2", "what a segment did happened before `completed()` returned its value or more",
              "under TSan"),
    Invariant("S3", "a segment's submission happened before `submitted()` returned its value or more",
              "the fake backend refuses waits for what was not submitted"),
    Invariant("S4", "the failure of a value is logged before the timeline says that it was reached",
              "`unit_stream` failure, `unit_event`"),
    Invariant("S5", "held waits form no circle",
              "`unit_stream` waits"),
    Invariant("S6", "a slot is free, parked with one thread, held, or being tidied up; only a free or a parked one is "
              "handed out to somebody alone",
              "`unit_stream` lease",
              upheld_by=("stream/lease.cc", "stream/pool.cc")),
    Invariant("S7", "values are given out in the order of recording and submitted in that order, each once",
              "the fake backend checks each submission"),
    Invariant("S8", "nothing recorded through a handle outlives the handle's lease uncommitted",
              "`unit_stream` lease, lease stress"),
    Invariant("S9", "a submission's waits were all submitted before it",
              "the fake backend checks each submission"),
    Invariant("S10", "nobody waits for a slot while one is parked",
              "`unit_stream` lease stress"),
    Invariant("S11", "what a caller has put on the driver's stream is followed there by its segment's submission, "
              "whatever becomes of the buffer",
              "`unit_backend_cuda` native",
              unmodelled=DRIVER),
    Invariant("S12", "once `covering()` is reached, all is done that was on the stream when it was asked for, whoever "
              "put it there",
              "`unit_backend_cuda` wrapped"),
    Invariant("S13", "as long as a lease lasts, a wrapped stream is one slot and a slot one stream, by the driver's "
              "number, or by its handle where that can't become another stream's",
              "`unit_backend_cuda` wrapped",
              upheld_by=("stream/wrapped.cc",)),
    Invariant("S14", "the driver is asked about a wrapped stream on behalf of nobody but a lease that lasts: under the "
              "stream's mutex, which the lease's end has still to take",
              "`unit_backend_cuda` wrapped lease",
              upheld_by=("stream/stream_state.cc",),
              unmodelled=DRIVER),
    Invariant("S15", "what was recorded is taken by the backend as long as its queues run: what that needs of the host's "
              "memory comes with the segment",
              "`millrace stress faults`",
              upheld_by=("stream/stream_state.cc", "stream/wrapped.cc", "backends/host/queue.cc", "backends/cuda/queue.cc")),
    Invariant("B1", "a buffer's status only grows, and is final once",
              "`unit_stream` commit, close",
              upheld_by=("stream/stream_state.cc", "stream/progress.cc")),
    Invariant("B2", "a stream has at most one recording buffer; only that one is added to",
              "`unit_stream` rules",
              upheld_by=("stream/stream_state.cc",)),
    Invariant("B3", "a final status is visible before its last value is reached and before its completed handlers run",
              "`unit_stream` handlers"),
    Invariant("B4", "once a segment of a buffer has failed, none of its later ones runs",
              "`unit_stream` failure"),
    Invariant("H1", "each handler that was added runs exactly once",
              "`unit_stream` handlers, 8 threads, also while closing",
              upheld_by=("stream/progress.cc", "stream/dispatch.cc")),
    Invariant("H2", "no lock is held while a handler, or a function that never ran, runs or is destroyed; both inside "
              "a `HandlerScope`",
              "`unit_stream` handlers, close"),
    Invariant("H3", "handlers run in the order in which they were handed over, so in order per stream",
              "`unit_stream` handlers",
              upheld_by=("stream/dispatch.cc",)),
    Invariant("H4", "nothing waits on the thread that would have to end the wait: inside a handler or host task such "
              "calls are refused by name, or queued",
              "`unit_stream` handlers, lease, rules",
              upheld_by=("stream/pool.cc",)),
    Invariant("V1", "the stream and the value that an event marks are read and written as one word",
              "`unit_event` stress"),
    Invariant("V2", "a time is kept only for the newest marking of the current lease",
              "`unit_event`"),
    Invariant("V3", "the time of a marking is there before the timeline says that its point was reached",
              "`unit_event` stress",
              upheld_by=("stream/progress.cc",)),
    Invariant("V4", "an event slot is free, in one thread's cache, or leased to one owner; giving it back with another "
              "lease's number does nothing",
              "`unit_event` pool",
              upheld_by=("event/pool.cc",)),
    Invariant("V5", "a chunk is in the table before any of its slots is handed out, and stays there",
              "under TSan",
              upheld_by=("event/pool.cc",)),
    Invariant("V6", "the driver's event that a slot has is of its newest marking, and no other slot's; an older one is "
              "returned when the slot is marked again or given back",
              "`unit_backend_cuda` native events"),
]

CUDA = [
    Invariant("C1", "every submission accepted is reported exactly once, in the order of its queue",
              "`unit_backend_cuda` queues, `conformance.fake_cuda`",
              upheld_by=("backends/cuda/queue.cc", "backends/cuda/completion.cc", "backends/cuda/stop.cc")),
    Invariant("C2", "at most one thread fills a queue's stream, and at most one reports for a queue",
              "under TSan",
              upheld_by=("backends/cuda/queue.cc", "backends/cuda/completion.cc")),
    Invariant("C3", "`handed >= v`: all up to v was reported, or is on the device's streams without a failure",
              "`unit_backend_cuda` queues: what follows a failure is asked"),
    Invariant("C4", "a submission is reported after what it waits for, also where the device has done both",
              "`unit_backend_cuda` queues: many threads",
              upheld_by=("backends/cuda/completion.cc", "backends/cuda/held.cc")),
    Invariant("C5", "no lock is held while the sink, a task or the destruction of one runs; under a queue's mutex no "
              "other of ours is taken",
              "clang's analysis, under TSan",
              upheld_by=("backends/cuda/completion.cc", "backends/cuda/held.cc", "backends/cuda/stop.cc")),
    Invariant("C6", "the watcher sleeps without bound only when nothing is underway: whoever adds something sees that "
              "it sleeps, or it sees what was added",
              "`unit_backend_cuda` queues"),
    Invariant("C7", "nothing on a wrapped stream is reported before what its owner had put there is done: while it is "
              "being captured what we would put on it is held back, or marked once the capture is over where that "
              "had begun just then, and where it is gone all of the device is waited for",
              "`unit_backend_cuda` wrapped, wrapped lease"),
    Invariant("C8", "an event that was lent to a caller is recorded no more before everybody has returned it",
              "`unit_backend_cuda` native events",
              upheld_by=("backends/cuda/lent_events.cc",)),
    Invariant("C12", "from when the owner of a wrapped stream has said that it will capture it, for as long as it said, "
              "nothing of ours touches the stream",
              "`unit_backend_cuda` wrapped: captures that are expected"),
    Invariant("C11", "no two operations of a launch touch the same byte, unless both only read it",
              "`unit_backend_cuda` hazards, packs"),
    Invariant("C13", "the tickets that a launch counts with are its stream's alone until the stream gives them back",
              "conformance reductions, on a GPU"),
    Invariant("C15", "a stream that lasts as long as the device is asked for its number once at most: when it is wrapped, "
              "unless it is being captured then",
              "`unit_backend_cuda` wrapped: streams that last"),
]

PAGES = {
    "docs/concurrency.md": CORE,
    "docs/concurrency/streams.md": STREAMS,
    "docs/concurrency/cuda.md": CUDA,
}
INVARIANTS = sum(PAGES.values(), [])
