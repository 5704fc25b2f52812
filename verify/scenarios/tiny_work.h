// Work that scenarios submit.
#pragma once

#include <utility>

#include "device/operation.h"

namespace millrace::verify {

inline Operation task(HostTask run = [] {}) {
  return {.work = TaskWork{std::move(run)}, .name = "task", .uses = {}, .place = {}};
}

}  // namespace millrace::verify
