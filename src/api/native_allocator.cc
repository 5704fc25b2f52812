#include <millrace/native_allocator.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "api/access.h"
#include "device/fork.h"
#include "device/thread_contexts.h"
#include "memory/allocator.h"
#include "stream/pool.h"
#include "sync/atomic.h"
#include "sync/clock.h"
#include "sync/mutex.h"
#include "sync/thread.h"
#include "sync/thread_slot.h"

namespace millrace {
namespace {

using detail::Access;

// Between two looks whether a place has become free.
constexpr std::chrono::microseconds kPause{50};
constexpr const char* kDeallocate = "NativeAllocator::deallocate";

/// What the thread has named last, over all allocators.
struct Named {
  struct Entry {
    std::uint64_t allocator = 0;  // none has that
    std::uint64_t number = 0;     // the driver's, which no other stream ever gets
    Stream stream;
  };
  std::array<Entry, 8> entries;
  std::size_t next = 0;
};

struct NamedTag;
using NamedSlot = sync::ThreadSlot<NamedTag, Named>;

void remember(std::uint64_t allocator, std::uint64_t number, Stream stream) noexcept try {
  static const bool open = (NamedSlot::open([](Named* named) { delete named; }), true);
  static_cast<void>(open);
  if (NamedSlot::get() == nullptr) {
    auto made = std::make_unique<Named>();
    NamedSlot::set(made.get());
    static_cast<void>(made.release());
  }
  Named& named = *NamedSlot::get();
  named.entries[named.next] = {allocator, number, stream};
  named.next = (named.next + 1) % named.entries.size();
} catch (const std::bad_alloc&) {
  // It is only slower the next time.
}

std::uint64_t next_serial() noexcept {
  static constinit sync::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;  // relaxed: it only has to be another one
}

}  // namespace

struct NativeAllocator::State {
  explicit State(Device&& opened) : device(std::move(opened)), core(*Access::core_of(device)) {}

  struct Held {
    void* handle = nullptr;    // what it was named by first
    std::uint64_t number = 0;  // the driver's
    StreamLease lease;
  };

  Stream find(void* native_stream);
  /// Where nothing can be ordered after the stream, what is on it is waited for. A stream that is being
  /// captured can't be: it is the one that was named so before, or nothing.
  std::optional<Stream> find_or_finish(void* native_stream) noexcept;
  Stream take(void* native_stream);
  StreamLease wrap(void* native_stream);
  /// After what is on the stream; of none, if used_on is not valid.
  void free(void* address, void* native_stream, Stream used_on);
  /// The thread's own; null if this is its first call and there is no memory for one. Frees need none.
  Context* context_if_memory();
  /// False where there is no memory for it.
  bool try_record_use(Context* context, void* address, Stream used_on);
  /// Null if none is left.
  StreamLease take_out(std::uint64_t number) noexcept EXCLUDES(mutex);

  Device device;
  Core& core;  // the device's
  const std::uint64_t serial = next_serial();
  sync::Mutex mutex;  // taken when a stream is new to a thread
  std::vector<Held> leases GUARDED_BY(mutex);
  StreamLease own GUARDED_BY(mutex);  // for allocate_sync, from the first on
};

Stream NativeAllocator::State::find(void* native_stream) {
  std::uint64_t number = 0;
  // One that is being captured has none for now, and wrap says so by name.
  const bool numbered = core.backend().number_of(native_stream, &number);
  if (const Named* const named = NamedSlot::get(); named != nullptr && numbered) {
    for (const Named::Entry& entry : named->entries) {
      // One that was let go of meanwhile is wrapped anew.
      if (entry.number == number && entry.allocator == serial &&
          StreamPool::of(core).lasts(Access::id_of(entry.stream))) {
        return entry.stream;
      }
    }
  }
  const Stream found = take(native_stream);
  if (numbered) remember(serial, number, found);
  return found;
}

std::optional<Stream> NativeAllocator::State::find_or_finish(void* native_stream) noexcept {
  try {
    return find(native_stream);
  } catch (const std::exception&) {
    if (core.backend().finish(native_stream)) return Stream();
  }
  sync::LockGuard lock(mutex);
  const auto named = std::find_if(leases.rbegin(), leases.rend(),
                                  [&](const Held& held) { return held.handle == native_stream; });
  if (named == leases.rend()) return std::nullopt;
  return named->lease.stream();
}

Stream NativeAllocator::State::take(void* native_stream) {
  Held taken{native_stream, 0, wrap(native_stream)};  // ends, if it is one too many, after the lock
  const Stream stream = taken.lease.stream();
  // Not what was asked for before: then it may have been captured, and had none.
  taken.number = StreamPool::of(core).wrapped_number(stream.id());
  sync::LockGuard lock(mutex);
  if (std::ranges::none_of(leases, [&](const Held& held) { return held.lease.stream() == stream; }))
    leases.push_back(std::move(taken));
  return stream;
}

StreamLease NativeAllocator::State::wrap(void* native_stream) {
  const sync::Deadline deadline = sync::deadline_after(core.options().exhaustion_timeout);
  for (;;) {
    try {
      return device.wrap(native_stream);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::PoolExhausted) throw;
      // One that was forgotten makes room once what was on it is done.
      const StreamStats streams = device.streams();
      if (streams.wrapped == streams.most_wrapped || (deadline && sync::now() >= *deadline)) throw;
    }
    sync::sleep_for(kPause);
  }
}

StreamLease NativeAllocator::State::take_out(std::uint64_t number) noexcept {
  sync::LockGuard lock(mutex);
  const auto found = std::ranges::find(leases, number, &Held::number);
  if (found == leases.end()) return {};
  StreamLease taken = std::move(found->lease);
  leases.erase(found);
  return taken;
}

void NativeAllocator::State::free(void* address, void* native_stream, Stream used_on) {
  Allocator& memory = Allocator::of(core);
  try {
    Context* const context = context_if_memory();
    const bool is_ordered = !used_on.valid() || try_record_use(context, address, used_on);
    // Where nothing remembers what is on the stream, it is waited for. One that is being captured can't be:
    // the block stays allocated, as the stats show.
    if (!is_ordered && !core.backend().finish(native_stream)) return;
    if (context != nullptr) {
      memory.deallocate(*context, address, Allocator::OnMisuse::forgive);
    } else {
      memory.deallocate_without_context(address, Allocator::OnMisuse::forgive);
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::Closed && error.code() != ErrorCode::ForkedProcess) throw;
  }
}

Context* NativeAllocator::State::context_if_memory() {
  if (Context* const context = ThreadContexts::find(core.id())) return context;
  try {
    return &ThreadContexts::create(core);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

bool NativeAllocator::State::try_record_use(Context* context, void* address, Stream used_on) try {
  Allocator& memory = Allocator::of(core);
  if (context != nullptr) {
    // Held while the block is looked up: a close that has begun waits for it, and frees the block after.
    const Context::Hold hold = context->hold();
    if (!hold) core.throw_closed(kDeallocate);
    if (memory.slot_of(address, kDeallocate) == used_on.id()) return true;
  }
  const sync::Gate::Pass pass = core.enter(kDeallocate);
  memory.record_use(address, used_on.id(), false, kDeallocate);
  return true;
} catch (const std::bad_alloc&) {
  return false;
}

NativeAllocator::NativeAllocator(Device device) {
  if (!device.info().driver_streams) {
    throw Error(ErrorCode::Unsupported,
                "the device has no streams of a driver's to allocate for; use Device::allocate",
                {.call = "NativeAllocator", .device = device.info().name, .stream = -1, .rule = {}});
  }
  state_ = std::make_unique<State>(std::move(device));
}

NativeAllocator::~NativeAllocator() = default;

const Device& NativeAllocator::device() const noexcept {
  return state_->device;
}

void* NativeAllocator::allocate(void* native_stream, std::size_t bytes, std::size_t alignment) {
  refuse_in_forked_child("NativeAllocator::allocate");
  return state_->device.allocate(state_->find(native_stream), bytes, alignment);
}

void NativeAllocator::deallocate(void* native_stream, void* address) noexcept {
  if (address == nullptr || forked() || !state_->device.is_open()) return;
  const std::optional<Stream> used_on = state_->find_or_finish(native_stream);
  // Otherwise nothing tells when what is on the stream is done: the block stays allocated, as the stats show.
  if (used_on) state_->free(address, native_stream, *used_on);
}

void* NativeAllocator::allocate_sync(std::size_t bytes, std::size_t alignment) {
  Device& device = state_->device;
  Stream own;
  {
    sync::LockGuard lock(state_->mutex);
    own = state_->own.stream();
  }
  if (!own.valid()) {
    StreamLease lease = device.lease();  // ends, if another thread was first, after the lock
    sync::LockGuard lock(state_->mutex);
    if (!state_->own.stream().valid()) state_->own = std::move(lease);
    own = state_->own.stream();
  }
  void* const address = device.allocate(own, bytes, alignment);
  try {
    // Nothing is ever recorded there, but waits for what uses memory that is reused.
    own.wait();
  } catch (...) {
    deallocate_sync(address);
    throw;
  }
  return address;
}

void NativeAllocator::deallocate_sync(void* address) noexcept {
  if (address != nullptr && !forked() && state_->device.is_open()) state_->free(address, nullptr, Stream());
}

void NativeAllocator::forget(void* native_stream) noexcept {
  std::uint64_t number = 0;
  if (forked() || !state_->core.backend().number_of(native_stream, &number)) return;
  // One by one: each ends where no lock is held.
  while (state_->take_out(number).stream().valid()) {
  }
}

}  // namespace millrace
