// The bodies of the kinds of stress; one a file.
#pragma once

#include <cstdint>

#include "stress/runner.h"

namespace millrace::tool {

/// sum (all, one, several dimensions), mean, max, min, prod of random tensors, each against a
/// reference on the host.
std::uint64_t stress_reduce(const StressOptions& options, Findings& findings);

/// Blocks of random sizes filled with patterns, freed by other threads, used on other streams, with
/// trims in between; a pattern that changed is a block that was handed out too early.
std::uint64_t stress_alloc(const StressOptions& options, Findings& findings);

/// Chains of work on own, leased and shared streams: each runs in order, none is lost.
std::uint64_t stress_streams(const StressOptions& options, Findings& findings);

/// Values passed from stream to stream through events that are recorded again and again.
std::uint64_t stress_events(const StressOptions& options, Findings& findings);

/// Device and stream guards nested at random over two devices: current is what it should be, always.
std::uint64_t stress_guards(const StressOptions& options, Findings& findings);

/// Scheduled and completed handlers on shared streams, some of whose work fails: each runs once.
std::uint64_t stress_handlers(const StressOptions& options, Findings& findings);

/// Devices closed while threads allocate, record and exit; all handlers still run, nothing is left.
std::uint64_t stress_lifecycle(const StressOptions& options, Findings& findings);

/// Devices opened, used and closed, and threads that end, while the system refuses memory, threads and
/// mappings, tasks fail and waits run out of time: a call that is refused says why and has done nothing,
/// memory holds what it was filled with, work comes after what it waits for, each handler is told once, and
/// nothing is left.
std::uint64_t stress_faults(const StressOptions& options, Findings& findings);

}  // namespace millrace::tool
