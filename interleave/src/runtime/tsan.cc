// The functions that -fsanitize=thread makes the compiler call: plain accesses are checked for races, and
// std::atomic is modelled like interleave's own.
#include "runtime/sanitizers.h"

#if !INTERLEAVE_ASAN  // whose compiler declares these otherwise; nothing is instrumented for both
#include <cstring>
#include <map>

#include "runtime/machine.h"
#include "runtime/raw_atomics.h"
#include "runtime/symbols.h"

namespace interleave {
namespace {

void plain(const void* address, std::size_t bytes, bool write, const void* caller) {
  if (running_machine == nullptr || bytes == 0) return;
  if (write) raw_atomics().overwritten(address, bytes);
  running_machine->plain_access(address, bytes, write, place_of(caller));
}

std::memory_order order_of(int order) {
  // The runtime's interface numbers them as C does.
  constexpr std::memory_order kOrders[] = {std::memory_order_relaxed, std::memory_order_consume,
                                           std::memory_order_acquire, std::memory_order_release,
                                           std::memory_order_acq_rel, std::memory_order_seq_cst};
  return kOrders[order & 7];
}

template <typename T>
std::uint64_t bits(T value) {
  std::uint64_t all = 0;
  std::memcpy(&all, &value, sizeof(T));
  return all;
}

template <typename T>
T load(const volatile T* at, int order, const void* caller) {
  if (running_machine == nullptr) return __atomic_load_n(at, __ATOMIC_SEQ_CST);
  const detail::Cell& cell = raw_atomics().cell(const_cast<const T*>(at));
  return static_cast<T>(running_machine->load(cell, bits<T>(*at), order_of(order), place_of(caller)));
}

template <typename T>
void store(volatile T* at, T value, int order, const void* caller) {
  if (running_machine == nullptr) return __atomic_store_n(at, value, __ATOMIC_SEQ_CST);
  const detail::Cell& cell = raw_atomics().cell(const_cast<const T*>(at));
  running_machine->store(cell, bits<T>(*at), bits(value), order_of(order), place_of(caller));
}

template <typename T>
T modify(volatile T* at, detail::Rmw what, T operand, int order, const void* caller) {
  const detail::Modify how{what, sizeof(T), bits(operand)};
  if (running_machine == nullptr) {  // one thread
    const T old = *at;
    *at = static_cast<T>(detail::modify_value(how, bits<T>(old)));
    return old;
  }
  const detail::Cell& cell = raw_atomics().cell(const_cast<const T*>(at));
  return static_cast<T>(running_machine->modify(cell, bits<T>(*at), how, order_of(order), place_of(caller)));
}

template <typename T>
bool exchange_if(volatile T* at, T* expected, T desired, int success, int failure, const void* caller) {
  if (running_machine == nullptr) {
    return __atomic_compare_exchange_n(at, expected, desired, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  }
  const detail::Cell& cell = raw_atomics().cell(const_cast<const T*>(at));
  const std::uint64_t seen =
      running_machine->compare_exchange(cell, bits<T>(*at), bits<T>(*expected), bits(desired),
                                        order_of(success), order_of(failure), place_of(caller));
  if (seen == bits<T>(*expected)) return true;
  *expected = static_cast<T>(seen);
  return false;
}

}  // namespace
}  // namespace interleave

#define CALLER __builtin_return_address(0)
using interleave::plain;
using Rmw = interleave::detail::Rmw;

// The compiler chooses the names, and types are macro arguments.
// NOLINTBEGIN(bugprone-reserved-identifier, bugprone-macro-parentheses)
extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void** at, void* value) {
  if (*at != value) plain(at, sizeof(*at), true, CALLER);
}
void __tsan_vptr_read(void** at) {
  plain(at, sizeof(*at), false, CALLER);
}
void __tsan_read_range(void* at, std::size_t bytes) {
  plain(at, bytes, false, CALLER);
}
void __tsan_write_range(void* at, std::size_t bytes) {
  plain(at, bytes, true, CALLER);
}

#define ACCESSES(bytes)                                   \
  void __tsan_read##bytes(void* at) {                     \
    plain(at, bytes, false, CALLER);                      \
  }                                                       \
  void __tsan_write##bytes(void* at) {                    \
    plain(at, bytes, true, CALLER);                       \
  }                                                       \
  void __tsan_read_write##bytes(void* at) {               \
    plain(at, bytes, true, CALLER);                       \
  }                                                       \
  void __tsan_unaligned_read##bytes(void* at) {           \
    plain(at, bytes, false, CALLER);                      \
  }                                                       \
  void __tsan_unaligned_write##bytes(void* at) {          \
    plain(at, bytes, true, CALLER);                       \
  }                                                       \
  void __tsan_unaligned_read_write##bytes(void* at) {     \
    plain(at, bytes, true, CALLER);                       \
  }                                                       \
  void __tsan_volatile_read##bytes(void* at) {            \
    plain(at, bytes, false, CALLER);                      \
  }                                                       \
  void __tsan_volatile_write##bytes(void* at) {           \
    plain(at, bytes, true, CALLER);                       \
  }                                                       \
  void __tsan_unaligned_volatile_read##bytes(void* at) {  \
    plain(at, bytes, false, CALLER);                      \
  }                                                       \
  void __tsan_unaligned_volatile_write##bytes(void* at) { \
    plain(at, bytes, true, CALLER);                       \
  }
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)
#undef ACCESSES

#define ATOMICS(width, T)                                                                                 \
  T __tsan_atomic##width##_load(const volatile T* at, int order) {                                        \
    return interleave::load<T>(at, order, CALLER);                                                        \
  }                                                                                                       \
  void __tsan_atomic##width##_store(volatile T* at, T value, int order) {                                 \
    interleave::store<T>(at, value, order, CALLER);                                                       \
  }                                                                                                       \
  T __tsan_atomic##width##_exchange(volatile T* at, T value, int order) {                                 \
    return interleave::modify<T>(at, Rmw::exchange, value, order, CALLER);                                \
  }                                                                                                       \
  T __tsan_atomic##width##_fetch_add(volatile T* at, T value, int order) {                                \
    return interleave::modify<T>(at, Rmw::add, value, order, CALLER);                                     \
  }                                                                                                       \
  T __tsan_atomic##width##_fetch_sub(volatile T* at, T value, int order) {                                \
    return interleave::modify<T>(at, Rmw::subtract, value, order, CALLER);                                \
  }                                                                                                       \
  T __tsan_atomic##width##_fetch_and(volatile T* at, T value, int order) {                                \
    return interleave::modify<T>(at, Rmw::bit_and, value, order, CALLER);                                 \
  }                                                                                                       \
  T __tsan_atomic##width##_fetch_or(volatile T* at, T value, int order) {                                 \
    return interleave::modify<T>(at, Rmw::bit_or, value, order, CALLER);                                  \
  }                                                                                                       \
  T __tsan_atomic##width##_fetch_xor(volatile T* at, T value, int order) {                                \
    return interleave::modify<T>(at, Rmw::bit_xor, value, order, CALLER);                                 \
  }                                                                                                       \
  int __tsan_atomic##width##_compare_exchange_strong(volatile T* at, T* expected, T desired, int success, \
                                                     int failure) {                                       \
    return interleave::exchange_if<T>(at, expected, desired, success, failure, CALLER) ? 1 : 0;           \
  }                                                                                                       \
  int __tsan_atomic##width##_compare_exchange_weak(volatile T* at, T* expected, T desired, int success,   \
                                                   int failure) {                                         \
    return interleave::exchange_if<T>(at, expected, desired, success, failure, CALLER) ? 1 : 0;           \
  }                                                                                                       \
  T __tsan_atomic##width##_compare_exchange_val(volatile T* at, T expected, T desired, int success,       \
                                                int failure) {                                            \
    interleave::exchange_if<T>(at, &expected, desired, success, failure, CALLER);                         \
    return expected;                                                                                      \
  }
ATOMICS(8, std::uint8_t)
ATOMICS(16, std::uint16_t)
ATOMICS(32, std::uint32_t)
ATOMICS(64, std::uint64_t)
#undef ATOMICS

void __tsan_atomic_thread_fence(int order) {
  if (interleave::running_machine != nullptr) {
    interleave::running_machine->fence(interleave::order_of(order), interleave::place_of(CALLER));
  }
}
void __tsan_atomic_signal_fence(int) {}

// Calls that instrumented code makes of these are not instrumented: newer compilers name them so.
void* __tsan_memcpy(void* to, const void* from, std::size_t bytes) {
  plain(from, bytes, false, CALLER);
  plain(to, bytes, true, CALLER);
  return std::memcpy(to, from, bytes);
}
void* __tsan_memmove(void* to, const void* from, std::size_t bytes) {
  plain(from, bytes, false, CALLER);
  plain(to, bytes, true, CALLER);
  return std::memmove(to, from, bytes);
}
void* __tsan_memset(void* to, int value, std::size_t bytes) {
  plain(to, bytes, true, CALLER);
  return std::memset(to, value, bytes);
}

}  // extern "C"
// NOLINTEND(bugprone-reserved-identifier, bugprone-macro-parentheses)

#endif  // !INTERLEAVE_ASAN
