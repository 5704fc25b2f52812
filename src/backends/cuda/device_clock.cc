#include "backends/cuda/device_clock.h"

#include <chrono>
#include <utility>

#include "backends/cuda/driver.h"

namespace millrace::cuda {
namespace {

// In ten seconds a float of milliseconds still tells microseconds.
constexpr std::chrono::seconds kOld{10};
constexpr std::chrono::milliseconds kAgain{10};
constexpr std::chrono::microseconds kPatience{50};
constexpr std::chrono::milliseconds kFirstPatience{100};

}  // namespace

bool DeviceClock::open() noexcept {
  const auto make = [](CUevent& event) {
    return event != nullptr || driver().event_create(&event, CU_EVENT_DEFAULT) == CUDA_SUCCESS;
  };
  if (!make(start_) || !make(spare_)) return false;
  return stream_ != nullptr || driver().stream_create(&stream_, CU_STREAM_NON_BLOCKING, 0) == CUDA_SUCCESS;
}

void DeviceClock::start() noexcept {
  sync::LockGuard lock(mutex_);
  start(kFirstPatience);
}

void DeviceClock::refresh() noexcept {
  sync::LockGuard lock(mutex_);
  start(kPatience);
}

void DeviceClock::start(sync::Clock::duration patience) noexcept {
  const sync::Clock::time_point now = sync::now();
  if (now < next_ || !open()) return;
  next_ = now + kAgain;
  if (driver().event_record(spare_, stream_) != CUDA_SUCCESS) return;
  while (driver().event_query(spare_) == CUDA_ERROR_NOT_READY) {
    // The device may have no room for one more stream right now.
    if (sync::now() - now > patience) return;
  }
  started_at_ = sync::now();
  next_ = started_at_ + kOld;
  std::swap(start_, spare_);
  started_ = true;
}

sync::Clock::time_point DeviceClock::when(CUevent event, sync::Clock::time_point seen) noexcept {
  sync::LockGuard lock(mutex_);
  float milliseconds = 0;
  if (!started_ || driver().event_elapsed(&milliseconds, start_, event) != CUDA_SUCCESS) return seen;
  return started_at_ + std::chrono::duration_cast<sync::Clock::duration>(
                           std::chrono::duration<double, std::milli>(milliseconds));
}

void DeviceClock::close() noexcept {
  sync::LockGuard lock(mutex_);
  for (CUevent* event : {&start_, &spare_}) {
    if (*event != nullptr) (void)driver().event_destroy(*event);
    *event = nullptr;
  }
  if (stream_ != nullptr) (void)driver().stream_destroy(stream_);
  stream_ = nullptr;
  started_ = false;
}

}  // namespace millrace::cuda
