#include "device/in_operator.h"

#include <Python.h>
#include <dirent.h>
#include <pthread.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "device/devices.h"
#include "python/without_lock.h"

namespace millrace_torch {
namespace {

// What an operator is given to end; the first one of a process imports what knows shapes.
constexpr std::chrono::seconds kOperator{5};
// What other threads are given from there to their next operator or out of torch; those that compute without an
// operator use all of it.
constexpr std::chrono::milliseconds kWayBack{500};
// The same where the system does not say which threads run.
constexpr std::chrono::milliseconds kWayBackUnseen{30};
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

enum class Others { kRun, kRest, kUnknown };

/// Whether a thread of this process other than the calling one runs, or would if it had a processor.
Others look_at_others() noexcept {
  DIR* const tasks = opendir("/proc/self/task");
  if (tasks == nullptr) return Others::kUnknown;
  const pid_t self = gettid();
  Others others = Others::kRest;
  while (const dirent* const task = readdir(tasks)) {
    const int id = std::atoi(task->d_name);  // 0: "." and ".."
    if (id == 0 || id == self) continue;
    std::array<char, 64> path;
    std::snprintf(path.data(), path.size(), "/proc/self/task/%d/stat", id);
    std::FILE* const file = std::fopen(path.data(), "re");
    if (file == nullptr) continue;  // it has ended
    std::array<char, 128> line{};   // "id (name) state ...", the name of up to 15 characters, any of them
    const bool read = std::fgets(line.data(), line.size(), file) != nullptr;
    std::fclose(file);
    const char* const name_ends = read ? std::strrchr(line.data(), ')') : nullptr;
    if (name_ends == nullptr || name_ends[1] != ' ') continue;
    // D: it waits for the disk, for a moment.
    if (name_ends[2] == 'R' || name_ends[2] == 'D') others = Others::kRun;
  }
  closedir(tasks);
  return others;
}

/// Waits until every thread that came out of an operator rests: stopped before its next one, or in the interpreter.
/// One that waits for the interpreter's lock rests, too, but then the lock's holder runs, or it is woken: hence the
/// second look.
void wait_for_the_way_back() noexcept {
  const auto until = std::chrono::steady_clock::now() + kWayBack;
  for (int resting = 0; resting < 2 && std::chrono::steady_clock::now() < until;) {
    switch (look_at_others()) {
      case Others::kUnknown: std::this_thread::sleep_for(kWayBackUnseen); return;
      case Others::kRest: ++resting; break;
      case Others::kRun: resting = 0; break;
    }
    if (resting < 2) std::this_thread::sleep_for(kLook);
  }
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
  while (stopped.load(std::memory_order_seq_cst) < inside.load(std::memory_order_seq_cst) &&
         std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(kLook);
  }
  drain();
  wait_for_the_way_back();  // after draining: the device's own threads rest
}

}  // namespace millrace_torch
