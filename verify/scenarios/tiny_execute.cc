// The host's operations without their loops over memory: tasks, and a reduction of two units.
#include <array>

#include "backends/host/execute.h"

namespace millrace::host {

Status execute(const Operation& operation, Workers& workers, const std::string& device, int stream) {
  if (const auto* const task = std::get_if<TaskWork>(&operation.work)) {
    try {
      task->task();
    } catch (...) {
      return Status(ErrorCode::WorkFailed, "it threw",
                    {.call = {}, .device = device, .stream = stream, .rule = {}});
    }
  }
  if (const auto* const reduction = std::get_if<ReduceWork>(&operation.work)) {
    std::array<int, 2> done{};
    workers.for_each(
        2, [](void* units, std::int64_t unit, int) { ++(*static_cast<std::array<int, 2>*>(units))[unit]; },
        &done);
    *static_cast<int*>(reduction->output) = done[0] * 10 + done[1];
  }
  return {};
}

}  // namespace millrace::host
