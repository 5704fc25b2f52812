#include "faults.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sys/mman.h>

#include <cerrno>
#include <new>
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

/// What a thread that begins among faults starts with.
struct Start {
  std::shared_ptr<Faults> faults;
  void* (*body)(void*);
  void* argument;

  static void* run(void* raw) {
    Start* const start = static_cast<Start*>(raw);
    const FaultsHere scope(start->faults);
    void* (*const body)(void*) = start->body;
    void* const argument = start->argument;
    {
      const NoFaultsHere own;
      delete start;
    }
    return body(argument);
  }
};

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

}  // namespace millrace::tool

using millrace::tool::Fault;

// The other forms of new call these two. delete stays the library's, which knows what its own new gave.
void* operator new(std::size_t bytes) {
  if (millrace::tool::refuses(Fault::allocation)) throw std::bad_alloc();
  static auto* const next = millrace::tool::next<void*(std::size_t)>("_Znwm");
  return next(bytes);
}

void* operator new(std::size_t bytes, std::align_val_t alignment) {
  if (millrace::tool::refuses(Fault::allocation)) throw std::bad_alloc();
  static auto* const next =
      millrace::tool::next<void*(std::size_t, std::align_val_t)>("_ZnwmSt11align_val_t");
  return next(bytes, alignment);
}

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
