#include <millrace/device.h>

#include "api/access.h"
#include "device/context.h"
#include "device/fork.h"
#include "device/thread_contexts.h"
#include "stream/pool.h"
#include "sync/thread.h"

namespace millrace {

using detail::Access;

namespace {

/// The stream that the thread uses on the context's device; empty if it has not asked for one yet.
Stream current_stream_of(Context& context, const char* call) {
  const Context::CurrentStream guarded = context.current_stream;
  if (guarded.slot >= 0) return Access::make_stream(context.core(), {guarded.slot, guarded.generation});
  const Context::Hold hold = context.hold();
  if (!hold) context.core().throw_closed(call);
  const StreamId own = StreamPool::leased(context);
  return own.slot < 0 ? Stream() : Access::make_stream(context.core(), own);
}

void make_current(Context& context, Stream stream) {
  const StreamId id = Access::id_of(stream);
  context.current_stream = {id.slot, id.generation};
}

/// The context of an open device, for a stream whose lease lasts.
Context& context_for(Stream stream, const char* call) {
  Context& context = Access::context_of(Access::device_of(stream), call);
  StreamPool::of(context.core()).check_handle(Access::id_of(stream), call);
  return context;
}

/// Undoes make_current: the stream that was current before, or the thread's own, leased or not.
void restore(Stream current, Stream original) noexcept {
  Context* const context = ThreadContexts::find(Access::device_of(current));
  if (context == nullptr) return;  // closed since, or a forked child
  const Context::Hold hold = context->hold();
  const bool was_own = !original.valid() || (hold && StreamPool::leased(*context).slot == original.id());
  make_current(*context, was_own ? Stream() : original);
}

}  // namespace

StreamGuard::StreamGuard(Stream stream) : current_(stream), thread_(sync::this_thread_id()) {
  Context& context = context_for(stream, "StreamGuard");
  original_ = current_stream_of(context, "StreamGuard");
  original_device_ = ThreadContexts::current_device();
  ThreadContexts::set_current_device(Access::device_of(stream));
  make_current(context, stream);
}

StreamGuard::~StreamGuard() {
  if (thread_ != sync::this_thread_id() || forked()) return;
  restore(current_, original_);
  ThreadContexts::set_current_device(original_device_);
}

void StreamGuard::set(Stream stream) {
  refuse_in_forked_child("StreamGuard::set");
  if (thread_ != sync::this_thread_id()) {
    throw_rule("guard-on-other-thread",
               "the guard was made on another thread and changes what is current there; make "
               "one on this thread",
               {.call = "StreamGuard::set", .device = {}, .rule = {}});
  }
  Context& context = context_for(stream, "StreamGuard::set");
  if (Access::device_of(stream) != Access::device_of(current_)) {
    const Stream original = current_stream_of(context, "StreamGuard::set");
    restore(current_, original_);
    original_ = original;
  }
  ThreadContexts::set_current_device(Access::device_of(stream));
  make_current(context, stream);
  current_ = stream;
}

}  // namespace millrace
