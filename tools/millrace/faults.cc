#include "faults.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sys/mman.h>

#include <cerrno>
#include <climits>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "random.h"

namespace millrace::tool {
namespace {

// The scope that the calling thread is in. A pointer, since what allocates may run before the thread's
// variables are made and after they are gone.
constinit thread_local const std::shared_ptr<Faults>* here = nullptr;

bool refuses(Fault fault) noexcept {
  return here != nullptr && (*here)->refuses(fault);
}

/// The function of this name that would have been called if the program had none of its own.
template <typename Function>
Function* next(const char* name) noexcept {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

/// What a thread that is among faults until it has ended holds.
struct UntilExit {
  std::shared_ptr<Faults> faults;
  // What a hook of another key sets again is called for again, a few rounds long. The last round is left to
  // the sanitizers, which forget the thread in it.
  int rounds = PTHREAD_DESTRUCTOR_ITERATIONS - 1;

  static void at_exit(void* raw) {
    auto* const mine = static_cast<UntilExit*>(raw);
    if (--mine->rounds > 0 && pthread_setspecific(key(), mine) == 0) return;
    here = nullptr;
    delete mine;
  }

  static pthread_key_t key() {
    static const pthread_key_t made = [] {
      pthread_key_t key{};
      if (pthread_key_create(&key, &at_exit) != 0) throw std::bad_alloc();
      return key;
    }();
    return made;
  }
};

/// What a thread that begins among faults starts with.
struct Start {
  std::shared_ptr<Faults> faults;
  void* (*body)(void*);
  void* argument;

  static void* run(void* raw) {
    const std::unique_ptr<Start> start(static_cast<Start*>(raw));
    faults_until_exit(std::move(start->faults));
    return start->body(start->argument);
  }
};

/// What a form of new does. The scope: the library's forms call one another, and one request is refused once.
template <typename... Args>
void* allocate(void* (*next)(std::size_t, Args...), std::size_t bytes, std::type_identity_t<Args>... args) {
  if (refuses(Fault::allocation)) throw std::bad_alloc();
  const NoFaultsHere own;
  return next(bytes, args...);
}

template <typename... Args>
void* allocate_or_null(void* (*next)(std::size_t, Args...), std::size_t bytes,
                       std::type_identity_t<Args>... args) noexcept {
  if (refuses(Fault::allocation)) return nullptr;
  const NoFaultsHere own;
  return next(bytes, args...);
}

}  // namespace

Faults::Faults(const FaultRates& rates, std::uint64_t seed) noexcept : seed_(seed) {
  kinds_[static_cast<std::size_t>(Fault::allocation)].rate = rates.allocations;
  kinds_[static_cast<std::size_t>(Fault::thread)].rate = rates.threads;
  kinds_[static_cast<std::size_t>(Fault::mapping)].rate = rates.mappings;
}

std::uint64_t Faults::asked(Fault fault) const noexcept {
  return kinds_[static_cast<std::size_t>(fault)].asked.load(std::memory_order_relaxed);
}

std::uint64_t Faults::refused(Fault fault) const noexcept {
  return kinds_[static_cast<std::size_t>(fault)].refused.load(std::memory_order_relaxed);
}

bool Faults::refuses(Fault fault) noexcept {
  Kind& kind = kinds_[static_cast<std::size_t>(fault)];
  if (kind.rate == 0 || !on_.load(std::memory_order_relaxed)) return false;
  const std::uint64_t before = kind.asked.fetch_add(1, std::memory_order_relaxed);
  if (!Random(seed_ + static_cast<std::uint64_t>(fault), before).one_in(kind.rate)) return false;
  kind.refused.fetch_add(1, std::memory_order_relaxed);
  return true;
}

FaultsHere::FaultsHere(std::shared_ptr<Faults> faults) noexcept
    : faults_(std::move(faults)), outer_(std::exchange(here, &faults_)) {}

FaultsHere::~FaultsHere() {
  here = outer_;
}

NoFaultsHere::NoFaultsHere() noexcept : outer_(std::exchange(here, nullptr)) {}

NoFaultsHere::~NoFaultsHere() {
  here = outer_;
}

void faults_until_exit(std::shared_ptr<Faults> faults) {
  auto mine = std::unique_ptr<UntilExit>(new UntilExit{std::move(faults)});
  if (pthread_setspecific(UntilExit::key(), mine.get()) != 0) throw std::bad_alloc();
  here = &mine.release()->faults;
}

}  // namespace millrace::tool

using millrace::tool::Fault;

// All forms: which of them call which others is up to whoever has them otherwise, the C++ library or a
// sanitizer. delete stays theirs, which knows what its own new gave.
// NOLINTBEGIN(misc-new-delete-overloads)
void* operator new(std::size_t bytes) {
  static auto* const next = millrace::tool::next<void*(std::size_t)>("_Znwm");
  return millrace::tool::allocate(next, bytes);
}

void* operator new[](std::size_t bytes) {
  static auto* const next = millrace::tool::next<void*(std::size_t)>("_Znam");
  return millrace::tool::allocate(next, bytes);
}

void* operator new(std::size_t bytes, const std::nothrow_t& tag) noexcept {
  static auto* const next =
      millrace::tool::next<void*(std::size_t, const std::nothrow_t&)>("_ZnwmRKSt9nothrow_t");
  return millrace::tool::allocate_or_null(next, bytes, tag);
}

void* operator new[](std::size_t bytes, const std::nothrow_t& tag) noexcept {
  static auto* const next =
      millrace::tool::next<void*(std::size_t, const std::nothrow_t&)>("_ZnamRKSt9nothrow_t");
  return millrace::tool::allocate_or_null(next, bytes, tag);
}

void* operator new(std::size_t bytes, std::align_val_t alignment) {
  static auto* const next =
      millrace::tool::next<void*(std::size_t, std::align_val_t)>("_ZnwmSt11align_val_t");
  return millrace::tool::allocate(next, bytes, alignment);
}

void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  static auto* const next =
      millrace::tool::next<void*(std::size_t, std::align_val_t)>("_ZnamSt11align_val_t");
  return millrace::tool::allocate(next, bytes, alignment);
}

void* operator new(std::size_t bytes, std::align_val_t alignment, const std::nothrow_t& tag) noexcept {
  static auto* const next = millrace::tool::next<void*(std::size_t, std::align_val_t, const std::nothrow_t&)>(
      "_ZnwmSt11align_val_tRKSt9nothrow_t");
  return millrace::tool::allocate_or_null(next, bytes, alignment, tag);
}

void* operator new[](std::size_t bytes, std::align_val_t alignment, const std::nothrow_t& tag) noexcept {
  static auto* const next = millrace::tool::next<void*(std::size_t, std::align_val_t, const std::nothrow_t&)>(
      "_ZnamSt11align_val_tRKSt9nothrow_t");
  return millrace::tool::allocate_or_null(next, bytes, alignment, tag);
}
// NOLINTEND(misc-new-delete-overloads)

// The C library's headers name parameters in its own way.
// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name)
extern "C" {

[[gnu::visibility("default")]] int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                                                  void* (*body)(void*), void* argument) noexcept {
  static auto* const next =
      millrace::tool::next<int(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*)>("pthread_create");
  if (millrace::tool::here == nullptr) return next(thread, attributes, body, argument);
  if (millrace::tool::refuses(Fault::thread)) return EAGAIN;
  const std::shared_ptr<millrace::tool::Faults> faults = *millrace::tool::here;
  const millrace::tool::NoFaultsHere own;
  auto* const start = new (std::nothrow) millrace::tool::Start{faults, body, argument};
  if (start == nullptr) return EAGAIN;
  const int error = next(thread, attributes, millrace::tool::Start::run, start);
  if (error != 0) delete start;
  return error;
}

[[gnu::visibility("default")]] int mprotect(void* address, std::size_t bytes, int protection) noexcept {
  static auto* const next = millrace::tool::next<int(void*, std::size_t, int)>("mprotect");
  if ((protection & PROT_WRITE) != 0 && millrace::tool::refuses(Fault::mapping)) {
    errno = ENOMEM;
    return -1;
  }
  return next(address, bytes, protection);
}

}  // extern "C"
// NOLINTEND(readability-inconsistent-declaration-parameter-name)
