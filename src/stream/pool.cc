#include "stream/pool.h"

#include <algorithm>
#include <cassert>
#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "device/fork.h"
#include "device/handler_scope.h"

namespace millrace {
namespace {

// How often a lease looks for a stream before it falls back on the default one.
constexpr int kShareTries = 8;

}  // namespace

StreamPool::StreamPool(Core& core, const Options& options)
    : core_(core),
      exit_wait_(options.exit_wait),
      closed_failure_(ErrorCode::Closed, "the device was closed before the work ran", core.error_context("")),
      ordinary_(options.streams),
      first_wrapped_(ordinary_ + options.high_priority_streams),
      first_captured_(first_wrapped_ + options.wrapped_streams),
      leases_(core, 1, options.streams - 1, options.exhaustion, options.exhaustion_timeout,
              {"streams of the pool", "streams", true, true}),
      high_leases_(core, ordinary_, options.high_priority_streams, options.exhaustion,
                   options.exhaustion_timeout, {"streams of high priority", "high_priority_streams", true}),
      captures_(core, first_captured_, options.captures, ExhaustionPolicy::fail, {},
                {"slots for captures", "captures"}),
      wrapped_(*this, first_wrapped_, options.wrapped_streams),
      dispatcher_(core),
      capture_slots_(static_cast<std::size_t>(options.captures)),
      to_settle_(static_cast<std::size_t>(first_captured_ + options.captures), false) {
  streams_.reserve(to_settle_.size());
  for (int slot = 0; slot < first_captured_ + options.captures; ++slot) {
    const StreamKind kind = slot >= first_captured_  ? StreamKind::captured
                            : slot >= first_wrapped_ ? StreamKind::wrapped
                                                     : StreamKind::ordinary;
    streams_.push_back(
        std::make_unique<StreamState>(*this, slot, kind, options.max_uncompleted, options.failures_kept));
  }
}

std::unique_ptr<ContextPart> StreamPool::make_part(Context& /*context*/) {
  return std::make_unique<LeasePart>(*this);
}

// Which stream

StreamId StreamPool::current(Context& context, const char* call) {
  {
    const Context::Hold hold = context.hold();
    if (!hold) context.core().throw_closed(call);
    const StreamId known = current_if_leased(context);
    if (known.slot >= 0) return known;
  }
  LeasePart& own = own_part(context);
  const StreamId taken = own.pool_.lease(context, "leasing the thread's stream");
  const Context::Hold hold = context.hold();
  if (!hold) {
    // Retired meanwhile, so nobody would end it.
    own.pool_.end_lease(nullptr, taken.slot);
    context.core().throw_closed(call);
  }
  own.stream_ = taken;
  return taken;
}

void StreamPool::raise_priorities() noexcept {
  for (int slot = ordinary_; slot < first_wrapped_; ++slot) core_.backend().raise_priority(slot);
}

StreamId StreamPool::lease(Context& context, const char* call, StreamPriority priority) {
  const bool high = priority == StreamPriority::high && first_wrapped_ != ordinary_;
  if (!high) {
    const Context::Hold hold = context.hold();
    if (!hold) core_.throw_closed(call);
    LeasePart& own = own_part(context);
    if (const int slot = own.take_parked(); slot >= 0) {
      sync::add_single_writer(own.leases_, std::uint64_t{1});
      return {slot, state(slot).begin_lease()};
    }
  }
  std::optional<StreamId> taken;
  // Who holds the slots that could be shared may end those leases meanwhile: then there are free ones.
  for (int tries = 0; !taken && tries < kShareTries; ++tries) {
    int slot = 0;
    LeaseTable& table = high ? high_leases_ : leases_;
    core_.throw_if_failed(table.acquire(!core_.on_device_thread(), &slot), call);
    taken = slot >= 0 ? StreamId{slot, state(slot).begin_lease()}
            : high    ? share_lease(ordinary_, first_wrapped_ - ordinary_)
                      : share_lease(1, ordinary_ - 1);
  }
  leases_taken_.fetch_add(1, std::memory_order_relaxed);  // relaxed: a statistic
  if (taken) return *taken;
  // There is no other, or all of them keep changing hands.
  shared_leases_.fetch_add(1, std::memory_order_relaxed);
  return default_stream();
}

std::optional<StreamId> StreamPool::share_lease(int first_slot, int slots) noexcept {
  // relaxed: any stream will do; in turn, so that the leases spread over them.
  const std::uint32_t first = next_shared_.fetch_add(1, std::memory_order_relaxed);
  const auto others = static_cast<std::uint32_t>(slots);
  for (std::uint32_t tried = 0; tried < others; ++tried) {
    const int shared = first_slot + static_cast<int>((first + tried) % others);
    if (const std::optional<std::uint32_t> generation = state(shared).try_share_lease()) {
      shared_leases_.fetch_add(1, std::memory_order_relaxed);  // relaxed: a statistic
      return StreamId{shared, *generation};
    }
  }
  return std::nullopt;
}

void StreamPool::end_lease(Context* mine, int slot) noexcept {
  if (slot == 0 || forked()) return;
  if (slot >= first_wrapped_) return wrapped_.end(slot);
  switch (state(slot).drop_holder()) {
    case StreamState::LeaseEnd::held_by_others: return;
    case StreamState::LeaseEnd::recording:
      give_up(slot, [&]() NO_THREAD_SAFETY_ANALYSIS { return state(slot).give_up_recorded(held_); });
      break;
    case StreamState::LeaseEnd::done: break;
  }
  if (slot >= ordinary_) return high_leases_.add_free(slot);
  if (mine != nullptr) {
    const Context::Hold hold = mine->hold();
    if (hold && leases_.park(own_part(*mine), slot)) return;
  }
  leases_.add_free(slot);
}

StreamState& StreamPool::state_of(StreamId stream, const char* call) const {
  if (stream.slot < 0 || stream.slot >= size()) [[unlikely]] {
    throw Error(ErrorCode::InvalidArgument,
                "the handle names stream " + std::to_string(stream.slot) + ", and the device has " +
                    std::to_string(size()) + "; use one that this device gave",
                core_.error_context(call));
  }
  return state(stream.slot);
}

void StreamPool::check_handle(StreamId stream, const char* call) {
  state_of(stream, call).check_handle(stream.generation, call);
}

// Recording

void StreamPool::record(StreamId stream, Operation&& operation, const char* call) {
  const sync::Gate::Pass pass = core_.enter(call);
  state_of(stream, call).record(stream.generation, std::move(operation), call);
}

void StreamPool::record(Context& context, StreamId stream, Operation&& operation, const char* call) {
  // Upholds D1: once closing has begun, the stream refuses what comes, or gives up what came just then.
  const Context::Hold hold = context.hold();
  if (!hold) core_.throw_closed(call);
  state_of(stream, call).record(stream.generation, std::move(operation), call);
}

sync::Ref<BufferState> StreamPool::current_buffer(StreamId stream, const char* call) {
  const sync::Gate::Pass pass = core_.enter(call);
  return state_of(stream, call).current(stream.generation, call);
}

sync::Ref<BufferState> StreamPool::open_recorder(StreamId stream, const char* call) {
  const sync::Gate::Pass pass = core_.enter(call);
  return state_of(stream, call).open_recorder(stream.generation, call);
}

void StreamPool::add_handler(StreamId stream, HandlerKind kind, Handler&& handler, const char* call) {
  const sync::Gate::Pass pass = core_.enter(call);
  dispatcher_.start();
  state_of(stream, call).add_handler(stream.generation, kind, std::move(handler), call);
}

void StreamPool::set_mark(StreamId stream, Mark& mark, const char* call) {
  const sync::Gate::Pass pass = core_.enter(call);
  StreamState& marked = state_of(stream, call);
  tidy(marked, marked.set_mark(stream.generation, mark, call));
}

void StreamPool::wait_for(StreamId stream, TimelinePoint point, const char* call) {
  const sync::Gate::Pass pass = core_.enter(call);
  StreamState& waiter = state_of(stream, call);
  if (point.value == 0) return waiter.check_no_recorder(stream.generation, "event-inside-encoder", call);
  if (point.queue >= first_captured_ || waiter.is_captured()) {
    waiter.check_handle(stream.generation, call);
    refuse_crossing_wait(waiter, point, call);
    // What is captured does not run, so it can't come too early; and nobody has to commit it in time.
    if (point.queue != stream.slot && timeline(point.queue).submitted() < point.value)
      commit_captured(state(point.queue), call);
  }
  if (point.queue == stream.slot || timeline(point.queue).submitted() >= point.value) {
    waiter.add_wait(stream.generation, point, call);
    return;
  }
  sync::LockGuard order(order_mutex_);
  // Announced first: if the point is submitted from here on, its submitter comes to the order mutex and
  // finds the wait, or finds that it was never added.
  if (state(point.queue).announce_wait(point.value)) {
    waiter.add_held_wait(stream.generation, point, held_, call);
  } else {
    waiter.add_wait(stream.generation, point, call);
  }
}

StreamPool::Native StreamPool::open_native(StreamId id, std::span<const Use> uses, const char* call) {
  StreamState& stream = state_of(id, call);
  stream.check_no_recorder(id.generation, "one-encoder", call);
  stream.check_wrapped(id.generation, call);
  const auto ask = [&](void** driver_stream) {
    core_.throw_if_failed(core_.backend().native_stream(id.slot, driver_stream), call, id.slot);
  };
  {
    // Before anything is committed: the device may have no such streams.
    const sync::Gate::Pass pass = core_.enter(call);
    void* ignored = nullptr;
    ask(&ignored);
  }
  for (;;) {
    const std::uint64_t value = commit(id, std::nullopt, call).value;
    {
      const sync::Gate::Pass pass = core_.enter(call);
      Native native{stream.open_native(id.generation, value, call)};
      if (!native.buffer) continue;  // another thread has recorded since
      try {
        // What was not submitted waits for others still.
        if (stream.timeline().submitted() >= value) ask(&native.stream);
        if (native.stream != nullptr) {
          stream.begin_native(*native.buffer, uses, call);
          return native;
        }
      } catch (...) {
        stream.close_native(*native.buffer);
        throw;
      }
      stream.close_native(*native.buffer);
    }
    refuse_wait_in_own_handler(stream, call);
    assist(id.slot, std::nullopt, [&] { return stream.timeline().completed() >= value; });
    static_cast<void>(stream.wait_until_completed(value, std::nullopt));
    sync::yield();  // the backend may be about to say that it is through with it
  }
}

void StreamPool::record(BufferState& buffer, Operation&& operation, const char* call) {
  const sync::Gate::Pass pass = core_.enter(call);
  buffer.stream().record(buffer, std::move(operation), call);
}

void StreamPool::open_recorder(BufferState& buffer, const char* call) {
  const sync::Gate::Pass pass = core_.enter(call);
  buffer.stream().open_recorder(buffer, call);
}

void StreamPool::end_recorder(BufferState& buffer, const char* call) {
  const sync::Gate::Pass pass = core_.enter(call);
  buffer.stream().end_recorder(buffer, call);
}

void StreamPool::add_handler(BufferState& buffer, HandlerKind kind, Handler&& handler, const char* call) {
  const sync::Gate::Pass pass = core_.enter(call);
  dispatcher_.start();
  buffer.stream().add_handler(buffer, kind, std::move(handler), call);
}

// Committing and giving up

template <typename Try>
StreamState::Commit StreamPool::commit_when_room(StreamState& stream, sync::Deadline deadline,
                                                 const char* call, Try&& attempt) {
  const bool may_queue = core_.on_device_thread();
  for (;;) {
    {
      const sync::Gate::Pass pass = core_.enter(call);
      StreamState::Commit commit = attempt(may_queue);
      if (!commit.full) {
        tidy(stream, std::move(commit.after));
        return commit;
      }
    }
    if (!stream.wait_for_room(deadline)) {
      throw_timed_out("room to commit: too many command buffers of the stream are uncompleted", stream.slot(),
                      call);
    }
  }
}

StreamState::Commit StreamPool::commit(StreamId id, sync::Deadline deadline, const char* call) {
  StreamState& stream = state_of(id, call);
  return commit_when_room(stream, deadline, call,
                          [&](bool may_queue) { return stream.commit(id.generation, may_queue, call); });
}

std::uint64_t StreamPool::commit_any(StreamState& stream, const char* call) {
  return commit_when_room(stream, std::nullopt, call, [&](bool) { return stream.commit_any(call); }).value;
}

void StreamPool::commit(BufferState& buffer, const char* call) {
  StreamState& stream = buffer.stream();
  static_cast<void>(commit_when_room(stream, std::nullopt, call,
                                     [&](bool may_queue) { return stream.commit(buffer, may_queue, call); }));
}

void StreamPool::abandon(BufferState& buffer, const char* call) {
  const sync::Gate::Pass pass = core_.enter(call);
  give_up(buffer.queue(),
          [&]() NO_THREAD_SAFETY_ANALYSIS { return buffer.stream().abandon(buffer, held_, call); });
}

template <typename GiveUp>
void StreamPool::give_up(int slot, GiveUp&& give_up_work) {
  Fifo<Segment> finished;
  {
    sync::LockGuard order(order_mutex_);
    Aftermath after = give_up_work();
    finished.append(std::move(after.finished));
    if (after.settle) settle(slot, finished);
  }
  destroy(finished);
}

void StreamPool::tidy(StreamState& stream, Aftermath&& after) noexcept {
  if (after.settle) {
    sync::LockGuard order(order_mutex_);
    settle(stream.slot(), after.finished);
    after.finished.append(std::move(leftovers_));
  }
  destroy(after.finished);
}

void StreamPool::settle(int slot, Fifo<Segment>& finished) noexcept {
  to_settle_[static_cast<std::size_t>(slot)] = true;
  for (bool more = true; more;) {
    more = false;
    for (int queue = 0; queue < size(); ++queue) {
      if (!to_settle_[static_cast<std::size_t>(queue)]) continue;
      to_settle_[static_cast<std::size_t>(queue)] = false;
      const TimelinePoint reached{queue, timeline(queue).submitted()};
      held_.erase_up_to(reached);
      held_.for_each_waiter(reached, [&](QueueId waiter) NO_THREAD_SAFETY_ANALYSIS {
        Aftermath after = state(waiter).submit_released();
        finished.append(std::move(after.finished));
        if (!after.settle) return;
        to_settle_[static_cast<std::size_t>(waiter)] = true;
        more = true;
      });
      // What was submitted since, its submitter comes here for: the flag is still set.
      state(queue).set_tells(held_.concerns(reached));
    }
  }
}

void StreamPool::destroy(Fifo<Segment>& finished) noexcept {
  if (finished.empty()) return;
  // Operations that did not run are a user's functions, which may hold anything (H2).
  const HandlerScope scope(core_, nullptr);
  finished.delete_all();
}

// For the layers below

Status StreamPool::status_of(TimelinePoint point) const noexcept {
  if (!is_completed(point)) return {};
  return state(point.queue).failure_of(point.value);
}

bool StreamPool::try_insert_wait(int slot, TimelinePoint point) {
  assert(timeline(point.queue).submitted() >= point.value &&
         "only submitted points can be waited for at once");
  bool has_to_settle = false;
  const bool inserted = state(slot).try_insert_wait(point, has_to_settle);
  if (has_to_settle) {
    sync::LockGuard order(order_mutex_);
    settle(slot, leftovers_);
  }
  return inserted;
}

void StreamPool::flush_insertions() {
  for (const auto& stream : streams_) tidy(*stream, stream->flush_insertions());
}

StreamStats StreamPool::stats() const {
  StreamStats stats;
  stats.streams = ordinary_;
  stats.most_wrapped = first_captured_ - first_wrapped_;
  // relaxed: statistics. With the list locked no part is folded, so each lease counts once.
  core_.with_contexts([&](std::span<Context* const> contexts) {
    stats.leases = leases_taken_.load(std::memory_order_relaxed);
    for (const Context* context : contexts) {
      stats.leases += own_part(*context).leases_.load(std::memory_order_acquire);
    }
  });
  stats.shared_leases = shared_leases_.load(std::memory_order_relaxed);
  for (const auto& stream : streams_) {
    if (stream->leased() && !stream->is_captured()) ++(stream->is_wrapped() ? stats.wrapped : stats.leased);
    stats.command_buffers += stream->buffers_committed();
    stats.abandoned_buffers += stream->buffers_abandoned();
  }
  stats.handlers_run = dispatcher_.handlers_run();
  stats.handler_exceptions = dispatcher_.handler_exceptions();
  return stats;
}

// What the backend says

Status StreamPool::may_run(const Submission& submission) noexcept {
  return state(submission.queue).may_run(submission.value);
}

void StreamPool::completed(TimelinePoint point, Status status, sync::Clock::time_point when) noexcept {
  StreamState& stream = state(point.queue);
  tidy(stream, stream.completed(point.value, status, when));
}

// Closing

void StreamPool::begin_close(CloseMode mode) noexcept {
  for (LeaseTable* table : {&leases_, &high_leases_, &captures_}) table->close();
  const bool exiting = mode == CloseMode::exit;
  if (exiting) core_.backend().cancel();
  Fifo<Segment> finished;
  {
    // What was only recorded ends here, and with it every wait that nobody could end any more (S5).
    sync::LockGuard order(order_mutex_);
    for (const auto& stream : streams_) finished.append(stream->close(held_).finished);
    for (const auto& stream : streams_) settle(stream->slot(), finished);
    finished.append(std::move(leftovers_));
  }
  destroy(finished);

  if (!exiting) {
    for (const auto& stream : streams_) static_cast<void>(stream->wait_until_empty(std::nullopt));
    dispatcher_.stop();
    return;
  }
  if (core_.on_device_thread()) return;
  const sync::Deadline deadline = sync::deadline_after(exit_wait_);
  for (const auto& stream : streams_) {
    if (!stream->wait_until_empty(deadline)) return;
  }
  handlers_stuck_ = !dispatcher_.wait_until_idle(deadline);
}

void StreamPool::end_exit() noexcept {
  if (handlers_stuck_ || core_.on_device_thread()) return dispatcher_.leave_running();
  // What the backend has not reported even now it may still report.
  bool over = true;
  for (const auto& stream : streams_) over = over && stream->wait_until_empty(sync::now());
  const bool idle = dispatcher_.wait_until_idle(sync::deadline_after(exit_wait_));
  if (over && idle) {
    dispatcher_.stop();
  } else {
    dispatcher_.leave_running();
  }
}

}  // namespace millrace
