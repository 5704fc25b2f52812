#include <millrace/memory_pool.h>

#include <string>

#include "api/access.h"
#include "memory/allocator.h"
#include "stream/pool.h"

namespace millrace {

using detail::Access;

namespace {

/// The call's way in: the device that the pool is of, open for as long as this lives.
///
/// Thread safety: one thread.
class Entered {
 public:
  Entered(std::uint64_t device, const char* call)
      : core_(Access::open_core_of(device, call)), pass_(core_.enter(call)) {}
  Allocator* operator->() const noexcept { return &Allocator::of(core_); }

 private:
  Core& core_;
  const sync::Gate::Pass pass_;
};

}  // namespace

MemoryPool MemoryPool::create(const Device& device, const MemoryPoolOptions& options) {
  constexpr const char* kCall = "MemoryPool::create";
  const Core* const core = Access::core_of(device);
  const std::uint64_t id = core == nullptr ? 0 : core->id();
  const Allocator::Pool pool = Entered(id, kCall)->create_pool(options);
  return {id, pool.state, pool.number};
}

void* MemoryPool::allocate(Stream stream, std::size_t bytes, std::size_t alignment) const {
  constexpr const char* kCall = "MemoryPool::allocate";
  Context& context = Access::context_of(device_, kCall);
  Core& core = context.core();
  if (Access::device_of(stream) != device_) {
    throw Error(ErrorCode::InvalidArgument, "the stream belongs to another device than the pool, or to none",
                core.error_context(kCall, stream.id()));
  }
  StreamPool::of(core).check_lease(Access::id_of(stream), kCall);
  return Allocator::of(core).allocate_in({state_, number_}, context, stream.id(), bytes, alignment);
}

void MemoryPool::add_user() const {
  constexpr const char* kCall = "MemoryPool::add_user";
  Entered(device_, kCall)->add_pool_user({state_, number_}, kCall);
}

std::uint64_t MemoryPool::drop_user() const {
  constexpr const char* kCall = "MemoryPool::drop_user";
  return Entered(device_, kCall)->drop_pool_user({state_, number_}, kCall);
}

std::uint64_t MemoryPool::users() const {
  const Entered entered(device_, "MemoryPool::users");
  return state_->number() == number_ ? state_->users() : 0;
}

void MemoryPool::set_use_on_oom(bool use) const {
  constexpr const char* kCall = "MemoryPool::set_use_on_oom";
  const Entered entered(device_, kCall);
  entered->check_pool({state_, number_}, kCall);
  state_->set_lends(use);
}

std::size_t MemoryPool::trim() const {
  const Entered entered(device_, "MemoryPool::trim");
  return state_->number() == number_ ? entered->trim_pool({state_, number_}) : 0;
}

std::vector<MemorySegment> MemoryPool::segments() const {
  return Entered(device_, "MemoryPool::segments")->pool_segments({state_, number_});
}

PoolCheckpoint MemoryPool::checkpoint() const {
  constexpr const char* kCall = "MemoryPool::checkpoint";
  return Entered(device_, kCall)->checkpoint_pool({state_, number_}, kCall);
}

PoolRestored MemoryPool::restore(const PoolCheckpoint& checkpoint) const {
  constexpr const char* kCall = "MemoryPool::restore";
  Context& context = Access::context_of(device_, kCall);
  return Entered(device_, kCall)->restore_pool({state_, number_}, context, checkpoint, kCall);
}

}  // namespace millrace
