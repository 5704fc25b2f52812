#include "reduce/record.h"

#include <cstddef>
#include <utility>
#include <variant>

#include "memory/allocator.h"

namespace millrace {

void record_reduction(Context& context, StreamId stream, Operation operation, const char* call) {
  Core& core = context.core();
  auto& work = std::get<ReduceWork>(operation.work);
  StreamPool& pool = StreamPool::of(core);
  const std::size_t bytes = core.backend().scratch_bytes(work);
  if (bytes == 0) return pool.record(stream, std::move(operation), call);
  Allocator& allocator = Allocator::of(core);
  void* const scratch = allocator.allocate(context, stream.slot, bytes, kDefaultAlignment);
  work.scratch = scratch;
  try {
    pool.record(stream, std::move(operation), call);
  } catch (...) {
    allocator.deallocate(context, scratch, Allocator::OnMisuse::forgive);
    throw;
  }
  allocator.deallocate(context, scratch, Allocator::OnMisuse::forgive);
}

}  // namespace millrace
