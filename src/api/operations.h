// What the recording calls of Stream and Recorder have in common: a checked operation of their arguments.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>

#include <millrace/stream.h>

#include "device/core.h"
#include "device/operation.h"

namespace millrace {

inline void check_address(const void* address, const char* which, const char* call) {
  if (address != nullptr) return;
  throw Error(ErrorCode::InvalidArgument, std::string(which) + " is null and the size is not zero",
              {.call = call, .device = {}, .rule = {}});
}

inline Operation copy_operation(void* to, const void* from, std::size_t bytes, SourcePlace place,
                                const char* call) {
  check_address(to, "to", call);
  check_address(from, "from", call);
  return {CopyWork{to, from, bytes}, "copy", {reads(from, bytes), writes(to, bytes)}, place};
}

inline Operation fill_operation(void* to, std::uint8_t value, std::size_t bytes, SourcePlace place,
                                const char* call) {
  check_address(to, "to", call);
  return {FillWork{to, value, bytes}, "fill", {writes(to, bytes)}, place};
}

inline Operation task_operation(const Core& core, std::string name, HostTask task, std::span<const Use> uses,
                                SourcePlace place, const char* call) {
  if (!core.backend().info().host_tasks) {
    throw Error(ErrorCode::Unsupported, "the device does not run host code; run it in a completed handler",
                core.error_context(call));
  }
  if (!task) throw Error(ErrorCode::InvalidArgument, "the task is empty", core.error_context(call));
  return {TaskWork{std::move(task)}, std::move(name), Uses(uses), place};
}

inline Handler checked(Handler handler, const char* call) {
  if (handler) return handler;
  throw Error(ErrorCode::InvalidArgument, "the handler is empty", {.call = call, .device = {}, .rule = {}});
}

}  // namespace millrace
