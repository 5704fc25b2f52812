// An operator that runs on a stream.
#pragma once

#include <millrace/millrace.h>

#include <memory>
#include <span>
#include <string>
#include <utility>

#include "device/devices.h"
#include "device/streams.h"
#include "ops/kernel_scope.h"
#include "python/call_stack.h"

namespace millrace_torch {

/// Throws what was thrown, with the operator's call in Python.
[[noreturn]] void rethrow_with(const CallStack& stack);

/// What is run, and that it has ended, whether it ran or not.
template <typename F>
class Call {
 public:
  Call(OperatorStream& stream, F&& kernel) : stream_(stream.shared_from_this()), kernel_(std::move(kernel)) {}
  ~Call() {
    if (recorded_ && !ended_) stream_->ended();
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  void run() {
    struct End {
      Call& call;
      ~End() {
        call.ended_ = true;
        call.stream_->ended();
      }
    } end{*this};
    try {
      const KernelScope scope;
      kernel_();
    } catch (...) {
      rethrow_with(called_);
    }
  }
  const CallStack& called() const noexcept { return called_; }
  /// Before anybody can run it.
  void will_be_recorded() noexcept { recorded_ = true; }
  void was_refused() noexcept { recorded_ = false; }

 private:
  const std::shared_ptr<OperatorStream> stream_;
  F kernel_;
  const CallStack called_ = CallStack::here();
  bool recorded_ = false;
  bool ended_ = false;
};

/// Puts the kernel on the stream. uses: what it touches.
template <typename F>
void submit(OperatorStream& stream, const std::string& name, std::span<const millrace::Use> uses, F kernel) {
  auto call = std::make_shared<Call<F>>(stream, std::move(kernel));
  call->will_be_recorded();
  try {
    // Only whoever looks for missing waits names both places.
    const char* const stack = configured_to_protect() ? call->called().kept_text() : "";
    const millrace::SourcePlace place{stack, 0};
    millrace::Stream(stream.get())
        .run(
            name, [call] { call->run(); }, uses, place);
  } catch (const millrace::Error& error) {
    call->was_refused();
    throw_as_torch(error);
  } catch (...) {
    call->was_refused();
    throw;
  }
  stream.recorded();
}

}  // namespace millrace_torch
