// Runs one operation on the calling thread.
#pragma once

#include <cstdint>
#include <string>

#include "device/operation.h"
#include "device/status.h"

namespace millrace::host {

/// Runs it; an exception becomes WorkFailed with the operation's name and the exception's text.
/// device and stream are for that report. Throws std::bad_alloc only when the report finds no memory.
///
/// Thread safety: any thread.
Status execute(const Operation& operation, const std::string& device, int stream);

}  // namespace millrace::host
