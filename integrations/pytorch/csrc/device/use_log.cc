#include "device/use_log.h"

#include <map>
#include <mutex>
#include <tuple>

namespace millrace_torch {
namespace {

struct LastUse {
  std::string name;
  const char* stack;
};

/// By the address of the tensor's first byte that was used. Only while missing waits are looked for.
struct UseLog {
  std::mutex mutex;
  std::map<std::tuple<c10::DeviceIndex, const void*, c10::StreamId>, LastUse> last;  // protected by mutex
};

UseLog& use_log() {
  static auto* const log = new UseLog;
  return *log;
}

}  // namespace

void log_uses(c10::DeviceIndex device, c10::StreamId stream, const std::string& name, const char* stack,
              std::span<const millrace::Use> uses) {
  UseLog& log = use_log();
  const std::lock_guard lock(log.mutex);
  for (const millrace::Use& use : uses)
    log.last.insert_or_assign({device, use.address, stream}, LastUse{name, stack});
}

std::string take_uses(c10::DeviceIndex device, const void* address) {
  UseLog& log = use_log();
  const std::lock_guard lock(log.mutex);
  std::string text;
  auto use = log.last.lower_bound({device, address, c10::StreamId{0}});
  while (use != log.last.end() && std::get<0>(use->first) == device && std::get<1>(use->first) == address) {
    text += "\nstream " + std::to_string(std::get<2>(use->first)) + ": \"" + use->second.name +
            "\" used it last, called at (most recent call last):\n" + use->second.stack;
    use = log.last.erase(use);
  }
  return text;
}

}  // namespace millrace_torch
