// An operator that runs on a stream.
#pragma once

#include <c10/util/Exception.h>
#include <millrace/millrace.h>

#include <exception>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "device/devices.h"
#include "device/streams.h"
#include "ops/kernel_scope.h"
#include "python/call_stack.h"

namespace millrace_torch {

/// What a call waits for before it returns.
enum class Until { recorded, done };
inline Until until_for_operators() noexcept {
  return configured_synchronous() ? Until::done : Until::recorded;
}

/// Throws what was thrown, with the operator's call in Python.
[[noreturn]] void rethrow_with(const CallStack& stack);

/// What a kernel warns of, to be said where it was called: on a thread of the device nobody of Python's hears
/// it.
class Warnings final : public c10::WarningHandler {
 public:
  void process(const c10::Warning& warning) override { said_.push_back(warning); }
  void say_again() {
    for (const c10::Warning& warning : std::exchange(said_, {})) c10::warn(warning);
  }

 private:
  std::vector<c10::Warning> said_;
};

/// What is run, and that it has ended, whether it ran or not.
template <typename F>
class Call final : public EndedCall, public std::enable_shared_from_this<Call<F>> {
 public:
  Call(OperatorStream& stream, KernelSize size, F&& kernel, Until until)
      : stream_(stream.shared_from_this()), size_(size), kernel_(std::move(kernel)), until_(until) {}
  ~Call() override {
    if (recorded_ && !ended_) stream_->ended();
  }

  void run() {
    struct End {
      Call& call;
      ~End() {
        call.ended_ = true;
        // Not its own any more: the stream may keep it now, and must not be kept by it.
        const std::shared_ptr<OperatorStream> stream = std::move(call.stream_);
        stream->keep_ended(call.shared_from_this());
        stream->ended();
      }
    } end{*this};
    if (until_ == Until::done) return run_for_waiting_caller();
    try {
      const KernelScope scope(size_);
      kernel_();
    } catch (...) {
      rethrow_with(called_);
    }
  }
  /// Says what the kernel warned of. Throws the stream's failure, which came before, or else the kernel's.
  void wait(OperatorStream& stream) {
    stream.wait();
    warnings_.say_again();
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
    TORCH_CHECK(ended_, "the operator did not run, since one before it on the stream failed, of which another thread "
                "has been told");
  }
  const CallStack& called() const noexcept { return called_; }
  /// Before anybody can run it.
  void will_be_recorded() noexcept { recorded_ = true; }
  void was_refused() noexcept { recorded_ = false; }

 private:
  /// What it throws is the caller's to hear, and nothing to others on the stream.
  void run_for_waiting_caller() noexcept {
    try {
      const KernelScope scope(size_);
      const c10::WarningUtils::WarningHandlerGuard heard(&warnings_);
      kernel_();
    } catch (...) {
      failure_ = std::current_exception();
    }
  }

  std::shared_ptr<OperatorStream> stream_;
  const KernelSize size_;
  F kernel_;
  const Until until_;
  std::exception_ptr failure_;  // this and the next: written before the stream is done, read after
  Warnings warnings_;
  const CallStack called_ = CallStack::here();
  bool recorded_ = false;
  bool ended_ = false;
};

/// Puts the kernel on the stream. uses: what it touches. Where it is waited for, what it throws is thrown
/// here.
template <typename F>
void submit(OperatorStream& stream, const std::string& name, std::span<const millrace::Use> uses,
            KernelSize size, F kernel, Until until = Until::recorded) {
  stream.destroy_ended();
  auto call = std::make_shared<Call<F>>(stream, size, std::move(kernel), until);
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
  if (until == Until::done) call->wait(stream);
}

}  // namespace millrace_torch
