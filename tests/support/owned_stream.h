// A stream that the backend has not made, over a driver that plays the device.
#pragma once

#include <cuda.h>

#include <future>
#include <optional>
#include <utility>

#include "support/fake_cuda.h"

namespace millrace::test {

/// Somebody's stream, and their work on it.
class OwnedStream {
 public:
  explicit OwnedStream(int device = 0) : stream_(make_fake_stream(device)) {}
  OwnedStream(const OwnedStream&) = delete;
  OwnedStream& operator=(const OwnedStream&) = delete;
  ~OwnedStream() {
    open();
    if (stream_ != nullptr) destroy_fake_stream(stream_);
  }
  CUstream get() const { return stream_; }
  void destroy() { destroy_fake_stream(std::exchange(stream_, nullptr)); }
  /// Work that runs until open.
  void hold() {
    opened_.emplace();
    run_on_fake_stream(stream_, [opened = opened_->get_future().share()] { opened.wait(); });
  }
  void open() {
    if (opened_) opened_->set_value();
    opened_.reset();
  }

 private:
  CUstream stream_;
  std::optional<std::promise<void>> opened_;
};

}  // namespace millrace::test
