// GoogleTest's assertions inside a run.
//
// What GoogleTest keeps of a failed assertion outlives the run, and it records it under a lock of its own. So
// the calls of the test's code to its recorder come here: the linker is told so by the target
// interleave::interleave
// (--wrap), and takes this file only for programs that have such calls. Nothing of GoogleTest is included or
// linked otherwise.
#include <string>
#include <utility>

#include "runtime/machine.h"

// As in gtest.h, where they are part of what its macros expand to.
namespace testing {
class Message {
 public:
  std::string GetString() const;
};
namespace internal {
struct AssertHelper {
  struct Data {
    int type;
    const char* file;
    int line;
    std::string message;
  };
  Data* data;
};
}  // namespace internal
}  // namespace testing

namespace {

using testing::Message;
using testing::internal::AssertHelper;

enum : int { kSuccess, kNonFatalFailure, kFatalFailure };

/// On one line, as a verdict's message is.
std::string on_one_line(const std::string& text) {
  std::string line;
  for (const char c : text) {
    const bool space = c == '\n' || c == ' ';
    if (!space) line += c;
    if (space && !line.empty() && line.back() != ' ') line += ' ';
  }
  return line;
}

}  // namespace

extern "C" {

// testing::internal::AssertHelper::operator=(const testing::Message&) const: each failed assertion ends
// there. NOLINTBEGIN(bugprone-reserved-identifier)
void __real__ZNK7testing8internal12AssertHelperaSERKNS_7MessageE(const AssertHelper* self,
                                                                 const Message* message);
void __wrap__ZNK7testing8internal12AssertHelperaSERKNS_7MessageE(const AssertHelper* self,
                                                                 const Message* message) {
  if (interleave::running_machine == nullptr) {
    return __real__ZNK7testing8internal12AssertHelperaSERKNS_7MessageE(self, message);
  }
  const AssertHelper::Data& data = *self->data;
  if (data.type == kSuccess) return;  // SUCCEED: nothing to keep, however often it runs
  interleave::Machine& machine = *interleave::running_machine;
  const interleave::Inside inside;
  // GoogleTest is told once a check, not for each run that is tried for the report.
  if (!std::exchange(interleave::assertions_told, true)) {
    __real__ZNK7testing8internal12AssertHelperaSERKNS_7MessageE(self, message);
  }
  if (data.type != kNonFatalFailure && data.type != kFatalFailure) return;  // GTEST_SKIP
  machine.fail(interleave::Verdict::assertion,
               "assertion failed: " + on_one_line(data.message + " " + message->GetString()),
               {data.file, static_cast<unsigned>(data.line)}, {});
}

// testing::ScopedTrace::PushTrace(const char*, int, std::string) and its destructor: what SCOPED_TRACE keeps
// in a list of the thread's would be the run's, and stay there when the run is left. In a run it says
// nothing.
[[gnu::weak]] void
__real__ZN7testing11ScopedTrace9PushTraceEPKciNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE(
    void* self, const char* file, int line, std::string* message);
void __wrap__ZN7testing11ScopedTrace9PushTraceEPKciNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE(
    void* self, const char* file, int line, std::string* message) {
  if (interleave::running_machine != nullptr) return;
  __real__ZN7testing11ScopedTrace9PushTraceEPKciNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE(
      self, file, line, message);
}
[[gnu::weak]] void __real__ZN7testing11ScopedTraceD1Ev(void* self);
void __wrap__ZN7testing11ScopedTraceD1Ev(void* self) {
  if (interleave::running_machine == nullptr) __real__ZN7testing11ScopedTraceD1Ev(self);
}
// NOLINTEND(bugprone-reserved-identifier)

}  // extern "C"
