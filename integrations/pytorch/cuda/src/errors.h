// What Millrace throws, as torch's exceptions.
#pragma once

#include <c10/core/Device.h>

#include <millrace/error.h>

namespace millrace_torch {

/// Throws c10::Error (RuntimeError in Python) with what the error says.
[[noreturn]] void throw_translated(const millrace::Error& error);

/// Calls and hands on what it returns; a millrace::Error becomes torch's. Not for allocations, whose
/// OutOfMemoryError has observers (out_of_memory.h).
template <typename Call>
decltype(auto) translated(Call&& call) {
  try {
    return call();
  } catch (const millrace::Error& error) {
    throw_translated(error);
  }
}

/// Throws c10::Error for a device that torch does not have.
void check_device(c10::DeviceIndex index, int count);

}  // namespace millrace_torch
