#include "python/call_stack.h"

#include <memory>
#include <mutex>
#include <set>
#include <unordered_map>

#include "python/frames.h"

namespace millrace_torch {

/// A function's code, kept for ever, so that its address means nothing else later.
struct Code {
  PyCodeObject* code;
  std::string file, function;
};

namespace {

// Programs that make functions without end keep so many.
constexpr std::size_t kMostKept = std::size_t{1} << 16;

std::string text_of(PyObject* string) {
  const char* const text = string == nullptr ? nullptr : PyUnicode_AsUTF8(string);
  if (text == nullptr) PyErr_Clear();
  return text == nullptr ? "?" : text;
}

/// Null where there are too many.
const Code* keep(PyCodeObject* code) {
  static std::mutex mutex;
  static auto* const kept =
      new std::unordered_map<PyCodeObject*, std::unique_ptr<Code>>;  // protected by mutex
  {
    const std::lock_guard lock(mutex);
    if (const auto found = kept->find(code); found != kept->end()) return found->second.get();
    if (kept->size() >= kMostKept) return nullptr;
  }
  // Not under our mutex: whoever has the interpreter's lock may want that.
  auto made = std::make_unique<Code>();
  const PyGILState_STATE state = PyGILState_Ensure();
  Py_INCREF(code);
  made->code = code;
  made->file = text_of(code->co_filename);
  made->function = text_of(code->co_qualname);
  PyGILState_Release(state);
  const std::lock_guard lock(mutex);
  return kept->try_emplace(code, std::move(made)).first->second.get();
}

const Code* find(PyCodeObject* code) {
  static thread_local std::unordered_map<PyCodeObject*, const Code*> known;
  if (const auto found = known.find(code); found != known.end()) return found->second;
  const Code* const kept = keep(code);
  if (kept != nullptr) known.emplace(code, kept);
  return kept;
}

}  // namespace

CallStack CallStack::here() {
  std::array<millrace_frame, kMost> frames;
  const int count = millrace_frames(frames.data(), static_cast<int>(frames.size()));
  CallStack stack;
  for (int i = 0; i < count; ++i) {
    const auto& frame = frames[static_cast<std::size_t>(i)];
    if (const Code* const code = find(frame.code)) stack.frames_[stack.count_++] = {code, frame.instruction};
  }
  return stack;
}

std::string CallStack::text() const {
  std::string lines;
  for (std::size_t i = count_; i-- > 0;) {
    const Frame& frame = frames_[i];
    lines += "  File \"" + frame.code->file + "\", line " +
             std::to_string(PyCode_Addr2Line(frame.code->code, frame.instruction)) + ", in " +
             frame.code->function + "\n";
  }
  return lines;
}

const char* CallStack::kept_text() const {
  static std::mutex mutex;
  static auto* const kept = new std::set<std::string>;  // protected by mutex
  std::string lines = text();
  const std::lock_guard lock(mutex);
  return kept->insert(std::move(lines)).first->c_str();
}

}  // namespace millrace_torch
