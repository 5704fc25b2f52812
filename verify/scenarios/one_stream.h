// One stream that two threads use, without the device's gate around each call.
#pragma once

#include <string>
#include <utility>

#include "at_once.h"
#include "tiny_device.h"

namespace millrace::verify {

/// The rule of the error that it throws, or the error's code; empty if it throws none.
template <typename F>
std::string rule_of(F&& call) {
  try {
    call();
    return {};
  } catch (const Error& error) {
    return error.rule().empty() ? std::string(to_string(error.code())) : error.rule();
  }
}

/// The default stream of a device that runs what a scenario lets it run; a command buffer is begun.
struct OneStream {
  OneStream() : device(by_hand({.streams = 2})), stream(device.streams().default_stream()), buffer(begun()) {}

  sync::Ref<BufferState> begun() { return device.streams().current_buffer(stream, "current"); }
  StreamState& state() const noexcept { return buffer->stream(); }
  std::uint32_t generation() const noexcept { return stream.generation; }
  void record() { state().record(generation(), task(), "run"); }
  void commit() { device.streams().commit(stream, "commit"); }
  void run_all() { device.backend().run_all(); }

  TinyDevice device;
  const StreamId stream;
  const sync::Ref<BufferState> buffer;
};

}  // namespace millrace::verify
