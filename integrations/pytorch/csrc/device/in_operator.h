// When threads are in operators: for the end of the process, and for devices that are opened again.
#pragma once

namespace millrace_torch {

/// Around each operator. Once the process exits, threads other than the one that ends it stop where they
/// begin one, for good: a thread of Python's that came back into the interpreter then would be unwound
/// through functions that must not be left so, and the process would abort.
class InOperator {
 public:
  InOperator() noexcept;
  ~InOperator();
  InOperator(const InOperator&) = delete;
  InOperator& operator=(const InOperator&) = delete;
};

/// While it lives no thread is in an operator, and those that begin one wait. Not from within an operator, and
/// without the interpreter's lock, which operators may need to end.
class BetweenOperators {
 public:
  BetweenOperators() noexcept;
  ~BetweenOperators();
  BetweenOperators(const BetweenOperators&) = delete;
  BetweenOperators& operator=(const BetweenOperators&) = delete;
};

/// The calling thread ends the process: other threads are given the time to come out of their operators, and
/// what was recorded is waited for. Without the interpreter's lock.
void begin_exit() noexcept;

}  // namespace millrace_torch
