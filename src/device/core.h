// An open device: its backend, the layers built on it, the threads that use it, and how it closes.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <millrace/device.h>

#include "device/backend.h"
#include "device/context.h"
#include "device/use_checker.h"
#include "sync/gate.h"
#include "sync/mutex.h"
#include "sync/ref.h"

namespace millrace::detail {

enum class CloseMode : std::uint8_t {
  drain,  ///< submitted work and its handlers end; memory is given back
  exit,   ///< the process ends: nothing new starts, nothing is waited for without bound, memory stays
};

/// What a layer keeps for a device. Built in the order of LayerId, torn down in reverse.
class Layer {
 public:
  virtual ~Layer() = default;
  /// The layer's part of a new context; null if it keeps nothing there.
  virtual std::unique_ptr<ContextPart> make_part(Context& context) = 0;
  /// The gate is closed. After it returns nothing of the layer runs on its own any more.
  virtual void begin_close(CloseMode /*mode*/) noexcept {}
  /// All contexts are retired (not in CloseMode::exit, which ends before).
  virtual void finish_close() noexcept {}
  /// In CloseMode::exit, after the backend was stopped: what that still reported is waited for.
  virtual void end_exit() noexcept {}
};

/// Lives until the last reference is dropped; open until the last handle is, or until close.
///
/// Invariants (docs/concurrency.md):
///   D1  After close returns, no thread is inside the device and none gets in; no thread of the
///       device runs; each context was retired.
///   D2  Each context is in the list from its creation until its totals were folded: a reader of the
///       list counts it exactly once.
///
/// Thread safety: all members from any thread; install comes before the device is shared.
class Core final : public sync::RefCounted {
 public:
  Core* next_kept = nullptr;  ///< the registry's

  Core(std::string name, DeviceOptions options, std::unique_ptr<Backend> backend);

  std::uint64_t id() const noexcept { return id_; }
  const std::string& name() const noexcept { return name_; }
  const DeviceOptions& options() const noexcept { return options_; }
  Backend& backend() const noexcept { return *backend_; }

  void install(LayerId layer, std::unique_ptr<Layer> object) noexcept {
    layers_[static_cast<std::size_t>(layer)] = std::move(object);
  }
  Layer& layer(LayerId layer) const noexcept { return *layers_[static_cast<std::size_t>(layer)]; }
  /// Who checks the uses that recorded work declares; null: nobody. As install.
  void set_use_checker(UseChecker* checker) noexcept { use_checker_ = checker; }
  UseChecker* use_checker() const noexcept { return use_checker_; }

  /// A handle keeps the device open. False when the last one has gone or the device is closing.
  [[nodiscard]] bool try_add_handle() noexcept;
  void add_handle() noexcept;
  /// The last one closes the device; on one of the device's threads a helper thread does it.
  void drop_handle() noexcept;

  bool is_open() const noexcept;
  /// Returns when the device is closed, also when another thread was first. Not on a device thread.
  void close(CloseMode mode) noexcept;
  /// One of the backend's threads, or inside a handler.
  bool on_device_thread() const noexcept;

  /// The way in for everything but the fast paths, which hold their context instead. Throws Closed.
  sync::Gate::Pass enter(const char* call);
  /// The same; empty once it has closed.
  sync::Gate::Pass try_enter() noexcept { return gate_.enter(); }
  [[noreturn]] void throw_closed(const char* call) const;
  /// A failure that knows nothing of where it is told, with the call and the device.
  void throw_if_failed(const Status& status, const char* call, int stream = -1) const;
  ErrorContext error_context(const char* call, int stream = -1) const;

  /// Throws Closed.
  void attach(Context& context);
  /// Folds the totals of a retired context and takes it off the list.
  void detach(Context& context) noexcept;

  /// Calls visit(std::span<Context* const>) with the list locked: no context comes, goes or is folded.
  template <typename Visit>
  void with_contexts(Visit&& visit) EXCLUDES(contexts_mutex_) {
    sync::LockGuard lock(contexts_mutex_);
    visit(std::span<Context* const>(contexts_));
  }
  /// Calls visit(Context&) for each context that wanted(const Context&) and that nobody holds, holding it,
  /// with the list locked. False if one was held: that is not waited for (O1). The caller holds none (X4).
  template <typename Wanted, typename Visit>
  bool with_idle_contexts(Wanted&& wanted, Visit&& visit) EXCLUDES(contexts_mutex_) {
    bool all = true;
    sync::LockGuard lock(contexts_mutex_);
    for (Context* context : contexts_) {
      if (!wanted(*context)) continue;
      // Empty also for one whose thread is ending: it holds that until it has given everything back.
      if (const Context::Hold hold = context->try_steal()) {
        visit(*context);
      } else {
        all = false;
      }
    }
    return all;
  }

 private:
  enum class State : std::uint8_t { open, closing, closed };

  ~Core() override;
  void retire_contexts() noexcept;

  const std::uint64_t id_;
  const std::string name_;
  const DeviceOptions options_;
  std::unique_ptr<Backend> backend_;
  std::array<std::unique_ptr<Layer>, kLayerCount> layers_;
  UseChecker* use_checker_ = nullptr;

  // Written by whoever enters: not beside what the fast paths read.
  alignas(sync::kInterference) sync::Gate gate_;
  sync::atomic<std::uint32_t> handles_{1};
  sync::atomic<State> state_{State::open};  // written under closing_mutex_
  sync::Mutex closing_mutex_;               // orders closers: the first closes, others wait
  sync::ConditionVariable closed_;          // state_ became closed; waited for under closing_mutex_

  sync::Mutex contexts_mutex_;  // taken before any mutex of a layer
  std::vector<Context*> contexts_ GUARDED_BY(contexts_mutex_);
  sync::ConditionVariable contexts_gone_;  // contexts_ became empty; waited for under contexts_mutex_
};

}  // namespace millrace::detail

namespace millrace {
using detail::CloseMode;
using detail::Core;
using detail::Layer;
}  // namespace millrace
