// What a backend makes of captured work.
#pragma once

#include "sync/ref.h"

namespace millrace {

/// Work that a queue can be given as one operation, many times.
///
/// Thread safety: any thread. May be destroyed with launches underway; the memory that they use may not.
class DeviceGraph : public sync::RefCounted {
 public:
  /// The driver's own.
  virtual void* native() const noexcept = 0;
};

}  // namespace millrace
