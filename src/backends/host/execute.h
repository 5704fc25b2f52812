// Runs one operation.
#pragma once

#include <string>

#include "backends/host/workers.h"
#include "device/operation.h"
#include "device/status.h"

namespace millrace::host {

/// Runs it on the calling thread, which may give parts of it to workers; an exception becomes WorkFailed
/// with the operation's name and the exception's text. device and stream are for that report. Throws
/// std::bad_alloc only when the report finds no memory.
///
/// Thread safety: any thread.
Status execute(const Operation& operation, Workers& workers, const std::string& device, int stream);

/// Blocks until the results are written. Throws std::bad_alloc where scratch (16 MiB, or a thousandth of a
/// large input) is short.
void run_reduce(const ReduceWork& work, Workers& workers);

}  // namespace millrace::host
