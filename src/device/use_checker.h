// How the stream layer asks the layer that owns memory whether recorded work may use it.
#pragma once

#include <millrace/stream.h>

#include "device/backend.h"

namespace millrace {

/// Thread safety: from any thread, also for several streams at once.
class UseChecker {
 public:
  /// Recorded work is about to declare a use that ends when the point is reached. Throws InvalidState if
  /// the memory may not be used so (freed, discarded); memory of others is ignored. Called with the
  /// stream's mutex held: may take an arena's mutex, never a stream's.
  virtual void check(const Use& use, TimelinePoint at) = 0;

 protected:
  ~UseChecker() = default;
};

}  // namespace millrace
