// When the device did something, in the host's time.
#pragma once

#include <cuda.h>

#include "sync/annotations.h"
#include "sync/clock.h"
#include "sync/mutex.h"

namespace millrace::cuda {

/// The driver tells only how far two of its events are apart, as a float of milliseconds. So one is recorded
/// now and then whose time on the host is known, and others are measured from it: within ten seconds of it to
/// a microsecond. Two times that the device took are as far apart as it says, but for a new start in
/// between, which may put them off by what host and device disagree, some microseconds.
///
/// Thread safety: when from any thread; the others from one. The device's context is current.
class DeviceClock {
 public:
  DeviceClock() = default;
  DeviceClock(const DeviceClock&) = delete;
  DeviceClock& operator=(const DeviceClock&) = delete;

  /// Makes the first start, for which it waits a while: a time that is measured from a start and one that is
  /// not can be in the wrong order.
  void start() noexcept EXCLUDES(mutex_);
  /// Makes a new start if the last one is old and the device answers at once; else it is tried again later.
  void refresh() noexcept EXCLUDES(mutex_);
  /// When what was recorded with the event was done; seen: when that was noticed, which is the answer where
  /// the device gives none. The event keeps times.
  sync::Clock::time_point when(CUevent event, sync::Clock::time_point seen) noexcept EXCLUDES(mutex_);
  void close() noexcept EXCLUDES(mutex_);

 private:
  bool open() noexcept REQUIRES(mutex_);
  void start(sync::Clock::duration patience) noexcept REQUIRES(mutex_);

  sync::Mutex mutex_;  // a leaf
  CUstream stream_ GUARDED_BY(mutex_) = nullptr;
  CUevent start_ GUARDED_BY(mutex_) = nullptr;  // recorded, and done
  CUevent spare_ GUARDED_BY(mutex_) = nullptr;
  bool started_ GUARDED_BY(mutex_) = false;
  sync::Clock::time_point next_ GUARDED_BY(mutex_){};  // not before that again
  sync::Clock::time_point started_at_ GUARDED_BY(mutex_){};
};

}  // namespace millrace::cuda
