#include "ops/call.h"

#include <c10/util/Exception.h>

#include <stdexcept>
#include <string>

namespace millrace_torch {
namespace {

[[noreturn]] void throw_with(std::string what, const CallStack& stack) {
  if (!stack.empty()) what += "\nThe operator was called at (most recent call last):\n" + stack.text();
  throw std::runtime_error(what);
}

}  // namespace

void rethrow_with(const CallStack& stack) {
  try {
    throw;
  } catch (const c10::Error& error) {
    throw_with(error.what_without_backtrace(), stack);
  } catch (const std::exception& error) {
    throw_with(error.what(), stack);
  }
}

}  // namespace millrace_torch
