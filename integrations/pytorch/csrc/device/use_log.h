// Who used which memory last, where missing waits are looked for.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/Stream.h>
#include <millrace/stream.h>

#include <span>
#include <string>

namespace millrace_torch {

/// The operator, called at that stack, uses the memory on the stream. stack is kept for ever.
void log_uses(c10::DeviceIndex device, c10::StreamId stream, const std::string& name, const char* stack,
              std::span<const millrace::Use> uses);
/// The last operators on each stream that used the memory that begins there, and forgets them: it is freed.
std::string take_uses(c10::DeviceIndex device, const void* address);

}  // namespace millrace_torch
