#include "errors.h"

#include <c10/util/Exception.h>

namespace millrace_torch {

void throw_translated(const millrace::Error& error) {
  if (error.code() == millrace::ErrorCode::OutOfMemory)
    TORCH_CHECK_WITH(OutOfMemoryError, false, error.what());
  TORCH_CHECK(false, error.what());
}

void check_device(c10::DeviceIndex index, int count) {
  TORCH_CHECK(index >= 0 && index < count, "Invalid device argument ", static_cast<int>(index),
              ": torch has ", count, " CUDA devices here; did you call init?");
}

}  // namespace millrace_torch
