#include "device/core.h"

#include <algorithm>

#include "device/fork.h"
#include "device/handler_scope.h"
#include "device/registry.h"
#include "sync/asymmetric_fence.h"

namespace millrace::detail {
namespace {

std::uint64_t next_core_id() noexcept {
  // relaxed: only uniqueness matters. 0 stands for no device.
  static constinit sync::atomic<std::uint64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

Core::Core(std::string name, DeviceOptions options, std::unique_ptr<Backend> backend)
    : id_(next_core_id()),
      name_(std::move(name)),
      options_(std::move(options)),
      backend_(std::move(backend)) {
  sync::prepare_asymmetric_fences();  // before there is a context
}

Core::~Core() {
  if (!forked()) return;
  // The other threads of the parent were using all this at the fork: leave it as it is.
  for (auto& layer : layers_) static_cast<void>(layer.release());
  static_cast<void>(backend_.release());
}

bool Core::try_add_handle() noexcept {
  // relaxed: the registry's mutex orders opening before this; the count only keeps the device open.
  std::uint32_t count = handles_.load(std::memory_order_relaxed);
  while (count != 0) {
    if (handles_.compare_exchange_weak(count, count + 1, std::memory_order_relaxed,
                                       std::memory_order_relaxed)) {
      add_ref();
      return true;
    }
  }
  return false;
}

void Core::add_handle() noexcept {
  // relaxed: the caller has a handle already.
  handles_.fetch_add(1, std::memory_order_relaxed);
  add_ref();
}

void Core::drop_handle() noexcept {
  if (forked()) return;
  // acq_rel: what each handle's owner did happens before the close; pairs with itself.
  if (handles_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    if (on_device_thread()) {
      Registry::get().close_later(sync::Ref<Core>::share(this));
    } else {
      close(CloseMode::drain);
    }
  }
  drop_ref();
}

bool Core::is_open() const noexcept {
  // acquire: pairs with the releases in close. Who sees it not open knows that closing has begun, not that it
  // has ended.
  return !forked() && state_.load(std::memory_order_acquire) == State::open;
}

bool Core::on_device_thread() const noexcept {
  return backend_->on_own_thread() || HandlerScope::inside(*this);
}

void Core::close(CloseMode mode) noexcept {
  if (forked()) return;
  {
    sync::UniqueLock lock(closing_mutex_);
    // relaxed: written under this mutex.
    if (state_.load(std::memory_order_relaxed) != State::open) {
      // At exit the closer may be waiting for the very thread that called exit.
      if (mode == CloseMode::exit) {
        lock.unlock();
        backend_->cancel();
        return;
      }
      while (state_.load(std::memory_order_relaxed) != State::closed) closed_.wait(lock);
      return;
    }
    // release: pairs with is_open.
    state_.store(State::closing, std::memory_order_release);
  }
  Registry::get().forget(*this);
  gate_.close_and_wait();
  for (auto& layer : layers_) layer->begin_close(mode);
  if (mode == CloseMode::drain) {
    retire_contexts();
    for (std::size_t i = kLayerCount; i-- > 0;) layers_[i]->finish_close();
  }
  backend_->stop();
  if (mode == CloseMode::exit) {
    for (auto& layer : layers_) layer->end_exit();
  }
  sync::LockGuard lock(closing_mutex_);
  // release: pairs with is_open.
  state_.store(State::closed, std::memory_order_release);
  closed_.notify_all();
}

sync::Gate::Pass Core::enter(const char* call) {
  sync::Gate::Pass pass = gate_.enter();
  if (!pass) throw_closed(call);
  return pass;
}

void Core::throw_closed(const char* call) const {
  refuse_in_forked_child(call);
  throw Error(ErrorCode::Closed, "the device is closed; open it again for a new handle", error_context(call));
}

void Core::throw_if_failed(const Status& status, const char* call, int stream) const {
  if (status.ok()) return;
  ErrorContext context = error_context(call, stream);
  context.rule = status.error().rule();
  throw Error(status.error().code(), status.error().message(), std::move(context));
}

ErrorContext Core::error_context(const char* call, int stream) const {
  return {.call = call, .device = name_, .stream = stream, .rule = {}};
}

void Core::attach(Context& context) {
  const sync::Gate::Pass pass = enter("using the device from a new thread");
  sync::LockGuard lock(contexts_mutex_);
  contexts_.push_back(&context);
}

void Core::detach(Context& context) noexcept {
  sync::LockGuard lock(contexts_mutex_);
  const auto found = std::find(contexts_.begin(), contexts_.end(), &context);
  if (found == contexts_.end()) return;  // the closing device has retired it
  context.fold_parts();
  contexts_.erase(found);
  if (contexts_.empty()) contexts_gone_.notify_all();
}

void Core::retire_contexts() noexcept {
  sync::UniqueLock lock(contexts_mutex_);
  // Those that we can't retire are being retired by their ending threads (X3), which detach them.
  std::erase_if(contexts_, [](Context* context) {
    if (!context->try_retire()) return false;
    context->retire_parts();
    context->fold_parts();
    return true;
  });
  while (!contexts_.empty()) contexts_gone_.wait(lock);
}

}  // namespace millrace::detail
