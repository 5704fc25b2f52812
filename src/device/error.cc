#include <millrace/error.h>

#include <string>
#include <type_traits>
#include <utility>

#include "sync/ref.h"

namespace millrace {

// Whoever is told of a failure copies it, and must not need memory for that.
static_assert(std::is_nothrow_copy_constructible_v<Error> && std::is_nothrow_copy_assignable_v<Error>);
static_assert(std::is_nothrow_copy_constructible_v<OutOfMemoryError>);

/// What an error and its copies say.
///
/// Thread safety: a constant, but for its count.
class detail::ErrorDetails final : public sync::RefCounted {
 public:
  ErrorDetails(std::string text, ErrorContext place, OutOfMemoryReport&& figures = {})
      : message(std::move(text)), context(std::move(place)), report(std::move(figures)) {}

  const std::string message;
  const ErrorContext context;
  const OutOfMemoryReport report;  // of an OutOfMemoryError
};

namespace {

std::string full_text(ErrorCode code, const std::string& message, const ErrorContext& context) {
  std::string text(to_string(code));
  if (!context.rule.empty()) text += " [" + context.rule + "]";
  if (!context.call.empty()) text += " in " + context.call;
  if (!context.device.empty()) text += " on " + context.device;
  if (context.stream >= 0) text += " stream " + std::to_string(context.stream);
  return text + ": " + message;
}

std::string out_of_memory_text(const OutOfMemoryReport& r) {
  const bool pinned = r.kind == MemoryKind::pinned;
  std::string text = "asked for " + std::to_string(r.requested) + (pinned ? " pinned" : "") +
                     " bytes; live " + std::to_string(r.live) + ", cached " + std::to_string(r.cached) +
                     ", pending " + std::to_string(r.pending) + ", committed " + std::to_string(r.committed) +
                     " of a limit of " + std::to_string(r.limit) + ", largest free range " +
                     std::to_string(r.largest_free) + ".";
  if (!r.holders.empty()) {
    text += " Held by";
    for (std::size_t i = 0; i < r.holders.size(); ++i) {
      const auto& holder = r.holders[i];
      text += (i == 0 ? " " : ", ");
      text += "stream " + std::to_string(holder.stream) + " thread " + std::to_string(holder.thread) + ": " +
              std::to_string(holder.live_bytes);
    }
    text += ".";
  }
  if (!r.refusal.empty()) {
    text += " It was not the limit: " + r.refusal + ".";
    if (r.device_total != 0) {
      text += " The device has " + std::to_string(r.device_free) + " of " + std::to_string(r.device_total) +
              " bytes free; what is not committed here is held by other processes, or by others in this one.";
    }
    return text + " Free something here or there, or handle DeviceOptions::on_out_of_memory";
  }
  return text + " Free something, raise DeviceOptions::" + (pinned ? "pinned_limit" : "memory_limit") +
         ", or handle DeviceOptions::on_out_of_memory";
}

}  // namespace

std::string_view to_string(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::InvalidArgument: return "InvalidArgument";
    case ErrorCode::InvalidState: return "InvalidState";
    case ErrorCode::OutOfMemory: return "OutOfMemory";
    case ErrorCode::WorkFailed: return "WorkFailed";
    case ErrorCode::DeviceLost: return "DeviceLost";
    case ErrorCode::Closed: return "Closed";
    case ErrorCode::ForkedProcess: return "ForkedProcess";
    case ErrorCode::TimedOut: return "TimedOut";
    case ErrorCode::PoolExhausted: return "PoolExhausted";
    case ErrorCode::Unsupported: return "Unsupported";
    case ErrorCode::FileFormat: return "FileFormat";
  }
  return "unknown";
}

Error::Error(ErrorCode code, const detail::ErrorDetails* details) try : std
  ::runtime_error(full_text(code, details->message, details->context)), code_(code), details_(details) {}
catch (...) {
  details->drop_ref();
}

Error::Error(ErrorCode code, std::string message, ErrorContext context)
    : Error(code, new detail::ErrorDetails(std::move(message), std::move(context))) {}

Error::Error(const Error& other) noexcept
    : std::runtime_error(other), code_(other.code_), details_(other.details_) {
  details_->add_ref();
}

// NOLINTNEXTLINE(bugprone-unhandled-self-assignment): taken before the other is dropped
Error& Error::operator=(const Error& other) noexcept {
  other.details_->add_ref();
  details_->drop_ref();
  std::runtime_error::operator=(other);
  code_ = other.code_;
  details_ = other.details_;
  return *this;
}

Error::~Error() {
  details_->drop_ref();
}

const std::string& Error::message() const noexcept {
  return details_->message;
}

const ErrorContext& Error::context() const noexcept {
  return details_->context;
}

OutOfMemoryError::OutOfMemoryError(OutOfMemoryReport report, ErrorContext context)
    : Error(ErrorCode::OutOfMemory,
            new detail::ErrorDetails(out_of_memory_text(report), std::move(context), std::move(report))) {}

const OutOfMemoryReport& OutOfMemoryError::report() const noexcept {
  return details_->report;
}

}  // namespace millrace
