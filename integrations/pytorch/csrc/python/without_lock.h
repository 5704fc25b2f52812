// Waits that do not hold up the interpreter.
#pragma once

#include <Python.h>

namespace millrace_torch {

/// The interpreter's lock is free in the scope, if the calling thread has it. torch releases it before it
/// calls operators, but not before everything that waits.
class WithoutLock {
 public:
  WithoutLock()
      : state_(Py_IsInitialized() != 0 && PyGILState_Check() == 1 ? PyEval_SaveThread() : nullptr) {}
  ~WithoutLock() {
    if (state_ != nullptr) PyEval_RestoreThread(state_);
  }
  WithoutLock(const WithoutLock&) = delete;
  WithoutLock& operator=(const WithoutLock&) = delete;

 private:
  PyThreadState* const state_;
};

}  // namespace millrace_torch
