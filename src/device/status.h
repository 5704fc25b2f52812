// The outcome of an internal operation: nothing, or an error that can be kept, passed on and thrown.
#pragma once

#include <exception>
#include <string>

#include <millrace/error.h>

#include "sync/ref.h"

namespace millrace {

/// Success, or a shared immutable error.
///
/// Thread safety: as a pointer; copies of one error may be used from different threads.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(ErrorCode code, std::string message, ErrorContext context = {})
      : failure_(sync::make_ref<Failure>(Error(code, std::move(message), std::move(context)))) {}
  explicit Status(const Error& error) : failure_(sync::make_ref<Failure>(error)) {}

  /// For who may not throw and has no memory to describe a failure: made when the library was loaded.
  static const Status& no_memory() noexcept;

  bool ok() const noexcept { return !failure_; }
  /// Only of a failure.
  const Error& error() const noexcept { return failure_->error; }
  /// Null when ok.
  std::exception_ptr exception() const noexcept {
    return ok() ? std::exception_ptr() : std::make_exception_ptr(error());
  }
  void throw_if_failed() const {
    if (!ok()) throw error();
  }

 private:
  struct Failure final : sync::RefCounted {
    explicit Failure(const Error& e) : error(e) {}
    Error error;
  };
  sync::Ref<Failure> failure_;
};

/// InvalidState with the name of the rule that was broken.
[[noreturn]] void throw_rule(const char* rule, std::string message, ErrorContext context = {});

}  // namespace millrace
