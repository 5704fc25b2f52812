// How Millrace says that something went wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/export.h>
#include <millrace/memory_kind.h>

namespace millrace {

namespace detail {
class ErrorDetails;
}

/// What kind of failure it is. docs/errors.md lists for each what causes it and what to do.
enum class ErrorCode : std::uint8_t {
  InvalidArgument,  ///< a value that no state of the device would accept
  InvalidState,     ///< a rule of the device was broken; Error::rule names it
  OutOfMemory,      ///< every step of the out-of-memory procedure was tried; see OutOfMemoryError
  WorkFailed,       ///< recorded work failed while it ran, or depended on work that did
  DeviceLost,       ///< the device no longer answers; nothing more can be done with it but close
  Closed,           ///< the device was closed before or while the call was made
  ForkedProcess,    ///< this process is a fork of the one that opened the device
  TimedOut,         ///< a wait with a limit reached it; the work goes on
  PoolExhausted,    ///< all of what an option counts is taken; the message names the option
  Unsupported,      ///< this device or build cannot do it
  FileFormat,       ///< a file is not what it claims to be; file, offset and expectation are said
};

/// "InvalidState" for ErrorCode::InvalidState, and so on.
MILLRACE_API std::string_view to_string(ErrorCode code) noexcept;

/// Where an error happened. Fields that do not apply are empty, or -1.
struct ErrorContext {
  std::string call;    ///< the public call, as "Stream::commit"
  std::string device;  ///< as "host:0"
  int stream = -1;     ///< the number of the stream in its pool
  std::string rule;    ///< InvalidState only: the broken rule, as "commit-once"
};

/// The one exception type of the library.
///
/// Thread safety: immutable; may be copied and read from any thread. Copies share what they say and need no
/// memory.
class MILLRACE_API Error : public std::runtime_error {
 public:
  Error(ErrorCode code, std::string message, ErrorContext context = {});
  Error(const Error& other) noexcept;
  Error& operator=(const Error& other) noexcept;
  ~Error() override;

  ErrorCode code() const noexcept { return code_; }
  /// What was asked, what was found, what to do; without code and context, which what() adds.
  const std::string& message() const noexcept;
  const std::string& call() const noexcept { return context().call; }
  const std::string& device() const noexcept { return context().device; }
  int stream() const noexcept { return context().stream; }
  /// The rule that was broken; empty unless code() is InvalidState.
  const std::string& rule() const noexcept { return context().rule; }
  const ErrorContext& context() const noexcept;

 private:
  friend class OutOfMemoryError;
  Error(ErrorCode code, const detail::ErrorDetails* details);

  ErrorCode code_;
  const detail::ErrorDetails* details_;  // counted
};

/// Who holds how much when memory ran out. Sizes in bytes.
struct OutOfMemoryReport {
  struct Holder {
    int stream = -1;           ///< whose arena the memory belongs to
    std::uint64_t thread = 0;  ///< the library's number of the thread that allocated it
    std::size_t live_bytes = 0;
  };
  MemoryKind kind = MemoryKind::device;  ///< all figures are of this kind
  std::size_t requested = 0;
  std::size_t live = 0;       ///< in blocks that callers hold
  std::size_t cached = 0;     ///< in thread caches, free and ready for reuse
  std::size_t pending = 0;    ///< freed, but other streams' work may still use it
  std::size_t committed = 0;  ///< taken from the device
  std::size_t limit = 0;
  std::size_t largest_free = 0;  ///< the largest range that could be handed out
  /// What the device answered when it was asked for memory below the limit, which others may hold: other
  /// processes, and allocators beside this one. Empty where the limit left no room.
  std::string refusal;
  std::size_t device_free = 0;  ///< what the device said of itself after that; both 0 where it says nothing
  std::size_t device_total = 0;
  std::vector<Holder> holders;  ///< the largest first, at most eight
};

/// OutOfMemory with the figures behind it.
///
/// Thread safety: as Error.
class MILLRACE_API OutOfMemoryError : public Error {
 public:
  OutOfMemoryError(OutOfMemoryReport report, ErrorContext context);
  const OutOfMemoryReport& report() const noexcept;
};

}  // namespace millrace
