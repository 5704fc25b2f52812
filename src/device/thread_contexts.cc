#include "device/thread_contexts.h"

#include <algorithm>
#include <memory>

#include "device/core.h"
#include "device/fork.h"
#include "sync/thread.h"
#include "sync/thread_slot.h"

namespace millrace {
namespace {

struct ContextsTag;
using Slot = sync::ThreadSlot<ContextsTag, ThreadContexts>;

}  // namespace

ThreadContexts* ThreadContexts::slot_get() noexcept {
  return Slot::get();
}
void ThreadContexts::forget() noexcept {
  Slot::forget();
}
void ThreadContexts::open() {
  Slot::open(&ThreadContexts::thread_exit);
}

ThreadContexts& ThreadContexts::mine() {
  ThreadContexts* contexts = Slot::get();
  if (contexts == nullptr) {
    auto made = std::make_unique<ThreadContexts>();
    Slot::set(made.get());
    contexts = made.release();
  }
  return *contexts;
}

Context* ThreadContexts::search(std::uint64_t core_id) noexcept {
  for (const Entry& entry : entries_) {
    if (entry.core_id == core_id) {
      last_id_ = core_id;
      last_ = entry.context;
      return last_;
    }
  }
  return nullptr;
}

Context& ThreadContexts::create(Core& core) {
  refuse_in_forked_child("using a device");
  ThreadContexts& contexts = mine();
  contexts.drop_retired();
  auto context = std::make_unique<Context>(sync::Ref<Core>::share(&core), sync::this_thread_id());
  for (std::size_t i = 0; i < kLayerCount; ++i) {
    const auto layer = static_cast<LayerId>(i);
    context->set_part(layer, core.layer(layer).make_part(*context));
  }
  contexts.entries_.reserve(contexts.entries_.size() + 1);  // so that nothing throws once it is attached
  core.attach(*context);
  contexts.entries_.push_back({core.id(), context.get()});
  contexts.last_id_ = core.id();
  contexts.last_ = context.release();
  return *contexts.last_;
}

void ThreadContexts::drop_retired() noexcept {
  for (;;) {
    last_id_ = 0;
    last_ = nullptr;
    const auto retired =
        std::ranges::find_if(entries_, [](const Entry& entry) { return entry.context->retired(); });
    if (retired == entries_.end()) return;
    Context* const context = retired->context;
    // Out of the list first: the last reference to a core runs a user's destructors, which look things up
    // here.
    *retired = entries_.back();
    entries_.pop_back();
    // The closing device retired it under the list's lock: once through that, it is done with it.
    context->core().detach(*context);
    delete context;
  }
}

std::uint64_t ThreadContexts::current_device() noexcept {
  const ThreadContexts* contexts = Slot::get();
  return contexts == nullptr ? 0 : contexts->current_device_;
}

void ThreadContexts::set_current_device(std::uint64_t core_id) {
  mine().current_device_ = core_id;
}

void ThreadContexts::thread_exit(ThreadContexts* contexts) noexcept {
  if (forked()) return;
  for (const Entry& entry : contexts->entries_) {
    Context& context = *entry.context;
    // X3: if the closing device is first, it has done all this, and detach waits until it has.
    if (context.try_retire_own()) context.retire_parts();
    context.core().detach(context);
    delete &context;
  }
  delete contexts;
}

}  // namespace millrace
