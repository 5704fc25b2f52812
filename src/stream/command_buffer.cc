#include <millrace/stream.h>

namespace millrace {

const char* to_string(BufferStatus status) noexcept {
  switch (status) {
    case BufferStatus::recording: return "recording";
    case BufferStatus::committed: return "committed";
    case BufferStatus::scheduled: return "scheduled";
    case BufferStatus::completed: return "completed";
    case BufferStatus::failed: return "failed";
    case BufferStatus::abandoned: return "abandoned";
    case BufferStatus::closed: return "closed";
  }
  return "unknown";
}

}  // namespace millrace
