// Several threads for one operation.
#pragma once

#include <cstdint>

namespace millrace::host {

/// Whoever else can work on an operation right now.
///
/// Thread safety: for_each by one thread at a time.
class Workers {
 public:
  /// unit: 0 to units - 1, each once. worker: 0 to count() - 1, never the same one on two threads at once.
  using Body = void (*)(void* context, std::int64_t unit, int worker);

  /// The most threads there will be, the caller's included.
  virtual int count() const noexcept = 0;
  /// Returns when all units are done; what they did happened before. body must not throw.
  virtual void for_each(std::int64_t units, Body body, void* context) noexcept = 0;

 protected:
  ~Workers() = default;
};

/// The calling thread alone.
class NoWorkers final : public Workers {
 public:
  int count() const noexcept override { return 1; }
  void for_each(std::int64_t units, Body body, void* context) noexcept override {
    for (std::int64_t unit = 0; unit < units; ++unit) body(context, unit, 0);
  }
};

}  // namespace millrace::host
