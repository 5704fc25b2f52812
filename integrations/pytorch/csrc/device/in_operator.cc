#include "device/in_operator.h"

#include <Python.h>
#include <pthread.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "device/devices.h"
#include "python/without_lock.h"

namespace millrace_torch {
namespace {

// What an operator is given to end; the first one of a process imports what knows shapes.
constexpr std::chrono::seconds kOperator{5};
// What a thread takes from there to its next operator or out of torch, the interpreter's lock being free.
constexpr std::chrono::milliseconds kWayBack{30};
constexpr std::chrono::milliseconds kLook{1};

std::atomic<bool> exiting{false};
std::atomic<int> inside{0};   // operators
std::atomic<int> stopped{0};  // of those
std::atomic<bool> held_up{false};  // no operator may begin; whoever set it lets them again
thread_local bool ends_the_process = false;
thread_local int depth = 0;

void stop_here() noexcept {
  // Whoever holds the interpreter's lock has to go on, or the process would not end.
  if (ends_the_process || PyGILState_Check() == 1) return;
  stopped.fetch_add(1, std::memory_order_relaxed);
  for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
}

void wait_until_operators_may_begin() noexcept {
  const WithoutLock without;  // an operator that has to end first may need it
  while (held_up.load(std::memory_order_acquire)) std::this_thread::sleep_for(kLook);
}

/// Other threads are gone, wherever they were.
void only_this_thread() noexcept {
  inside.store(depth != 0 ? 1 : 0, std::memory_order_relaxed);
  stopped.store(0, std::memory_order_relaxed);
  held_up.store(false, std::memory_order_relaxed);
}
[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, &only_this_thread);

}  // namespace

InOperator::InOperator() noexcept {
  if (depth++ != 0) return;  // one that another is made of
  // seq_cst, with the stores and the loads in begin_exit and BetweenOperators: they see us inside, or we see that
  // they have begun.
  inside.fetch_add(1, std::memory_order_seq_cst);
  while (held_up.load(std::memory_order_seq_cst)) [[unlikely]] {
    inside.fetch_sub(1, std::memory_order_release);
    wait_until_operators_may_begin();
    inside.fetch_add(1, std::memory_order_seq_cst);
  }
  if (exiting.load(std::memory_order_seq_cst)) [[unlikely]]
    stop_here();
}

InOperator::~InOperator() {
  // release: pairs with the load in BetweenOperators, which is for what comes after us.
  if (--depth == 0) inside.fetch_sub(1, std::memory_order_release);
}

BetweenOperators::BetweenOperators() noexcept {
  while (held_up.exchange(true, std::memory_order_seq_cst)) std::this_thread::sleep_for(kLook);
  while (inside.load(std::memory_order_seq_cst) != 0) std::this_thread::sleep_for(kLook);
}

BetweenOperators::~BetweenOperators() {
  // release: pairs with the load in InOperator, which is for what comes before it.
  held_up.store(false, std::memory_order_release);
}

void begin_exit() noexcept {
  ends_the_process = true;
  exiting.store(true, std::memory_order_seq_cst);
  const auto until = std::chrono::steady_clock::now() + kOperator;
  bool others = false;
  while (stopped.load(std::memory_order_seq_cst) < inside.load(std::memory_order_seq_cst) &&
         std::chrono::steady_clock::now() < until) {
    others = true;
    std::this_thread::sleep_for(kLook);
  }
  if (others || stopped.load(std::memory_order_relaxed) != 0) std::this_thread::sleep_for(kWayBack);
  drain();
}

}  // namespace millrace_torch
