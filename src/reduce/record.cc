#include "reduce/record.h"

#include <utility>
#include <variant>

#include "memory/allocator.h"

namespace millrace {

void record_reduction(Context& context, StreamId stream, Operation&& operation, std::size_t scratch_bytes,
                      const char* call) {
  Core& core = context.core();
  StreamPool& pool = StreamPool::of(core);
  if (scratch_bytes == 0) return pool.record(context, stream, std::move(operation), call);
  Allocator& allocator = Allocator::of(core);
  void* const scratch = allocator.allocate(context, stream.slot, scratch_bytes, kDefaultAlignment);
  std::get<ReduceWork>(operation.work).scratch = scratch;
  try {
    pool.record(context, stream, std::move(operation), call);
  } catch (...) {
    allocator.deallocate(context, scratch, Allocator::OnMisuse::forgive);
    throw;
  }
  allocator.deallocate(context, scratch, Allocator::OnMisuse::forgive);
}

}  // namespace millrace
