// A planned reduction on the calling thread, without a device.
#pragma once

#include <variant>

#include "backends/host/execute.h"
#include "backends/host/workers.h"
#include "device/operation.h"

namespace millrace::test {

inline void run_directly(const Operation& operation) {
  host::NoWorkers none;
  host::run_reduce(std::get<ReduceWork>(operation.work), none);
}

}  // namespace millrace::test
