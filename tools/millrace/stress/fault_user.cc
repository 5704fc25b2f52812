#include "stress/fault_user.h"

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <thread>

namespace millrace::tool {
namespace {

constexpr int kSteps = 100;

/// Nothing but counts; the library does all else.
Handler counting(std::shared_ptr<FaultLife> life, FaultHandler& handler) {
  return [life = std::move(life), &handler](const Completion&) {
    const NoFaultsHere own;
    handler.told.fetch_add(1, std::memory_order_relaxed);
  };
}

}  // namespace

/// One command buffer's task and handler.
struct FaultUser::Work {
  explicit Work(std::shared_ptr<FaultLife> of) : life(std::move(of)) {}
  const std::shared_ptr<FaultLife> life;
  // relaxed: the task, the handler and the end of the iteration come one after the other.
  std::atomic<std::uint32_t> recorded{0};
  std::atomic<std::uint32_t> ran{0};
};

/// What memory held when a copy of it was made. Its handler keeps it, and so the place that the copy goes to,
/// until the copy has run or can't any more.
struct FaultUser::Look {
  explicit Look(const Held& held)
      : filled(held.filled), value(held.value), seen(held.buffer.size(), static_cast<std::uint8_t>(~value)) {}

  /// The command buffer of the copy ended like this. Where both it and the one of the fill were completed the
  /// memory holds what it was filled with; where one was not, a failure before them or a close kept it from
  /// being run, and it says nothing.
  bool differs(BufferStatus status) const {
    return copied.load(std::memory_order_relaxed) && status == BufferStatus::completed &&
           filled.status() == BufferStatus::completed &&
           std::ranges::any_of(seen, [this](std::uint8_t byte) { return byte != value; });
  }

  const CommandBuffer filled;
  const std::uint8_t value;
  std::vector<std::uint8_t> seen;
  std::atomic<bool> copied{false};  // relaxed: the commit hands it to the handler
};

void FaultUser::go() {
  for (int step = 0; step < kSteps; ++step) {
    switch (random_.below(6)) {
      case 0: own_stream(); break;
      case 1: leased_stream(); break;
      case 2: pass_on(); break;
      case 3: hold_memory(); break;
      case 4: wait_a_little(); break;
      default: given_up(); break;
    }
  }
  // Half of it on a thread that has nothing of the device's yet.
  std::thread([&] {
    faults_until_exit(faults_);
    const NoFaultsHere own;
    tried([&] { held_.resize(held_.size() / 2); });
  }).join();
  tried([&] { held_.clear(); });
  // What the thread keeps for the device goes at its exit.
  tried([&] { device_ = Device(); });
}

template <typename Attach>
bool FaultUser::attached(FaultHandler& handler, Attach&& attach) {
  if (!tried(attach)) return false;
  handler.attached.store(1, std::memory_order_relaxed);
  return true;
}

void FaultUser::add_work(Stream stream) {
  const auto work = std::make_shared<Work>(life_);
  const bool fails = random_.one_in(16);
  const auto task = [work, fails] {
    const NoFaultsHere own;
    work->ran.fetch_add(1, std::memory_order_relaxed);
    if (!fails) return;
    work->life->plant();
    throw std::runtime_error("planted failure");
  };
  if (tried([&] { stream.run("task", task); })) work->recorded.store(1, std::memory_order_relaxed);
  FaultHandler& counts = life_->handler();
  if (random_.one_in(2)) {
    const Handler handler = counting(life_, counts);
    attached(counts, [&] { stream.on_scheduled(handler); });
    return;
  }
  Findings* const findings = &findings_;
  const auto handler = [work, &counts, findings, index = index_](const Completion& completion) {
    const NoFaultsHere own;
    counts.told.fetch_add(1, std::memory_order_relaxed);
    const std::uint32_t recorded = work->recorded.load(std::memory_order_relaxed);
    const std::uint32_t ran = work->ran.load(std::memory_order_relaxed);
    const bool all = completion.status == BufferStatus::completed;
    if (all ? ran != recorded : ran > recorded) {
      findings->error(fmt::format("iteration {}: a {} command buffer's {} tasks ran {} times", index,
                                  to_string(completion.status), recorded, ran));
    }
  };
  attached(counts, [&] { stream.on_completed(handler); });
}

void FaultUser::own_stream() {
  Stream stream;
  if (!tried([&] { stream = device_.stream(); })) return;
  add_work(stream);
  if (random_.one_in(2)) tried([&] { stream.commit(); });
}

void FaultUser::leased_stream() {
  StreamLease lease;
  if (!tried([&] { lease = device_.lease(); })) return;
  add_work(lease.stream());
  if (random_.one_in(2)) tried([&] { lease.stream().commit(); });
  tried([&] { lease.reset(); });
}

/// An event of the own stream, waited for by a leased one and by the thread: what it marks is done before
/// what waited for it.
void FaultUser::pass_on() {
  Stream stream;
  StreamLease lease;
  Event event;
  const bool found = tried([&] {
    stream = device_.stream();
    lease = device_.lease();
    event = device_.event();
  });
  if (!found) return;
  add_work(stream);
  // relaxed: that one task comes after the other is what is tested, and is not to be had from here.
  const auto arrived = std::make_shared<std::atomic<bool>>(false);
  const auto first = [arrived, life = life_] { arrived->store(true, std::memory_order_relaxed); };
  const bool marked = tried([&] { stream.run("marked", first); }) && tried([&] { event.record(stream); });
  Stream other = lease.stream();
  if (tried([&] { other.wait_event(event); }) && marked) {
    const auto second = [arrived, life = life_, findings = &findings_, index = index_] {
      const NoFaultsHere own;
      if (!arrived->load(std::memory_order_relaxed)) {
        findings->error(fmt::format("iteration {}: a task that waited ran before what it waited for", index));
      }
    };
    tried([&] { other.run("waited", second); });
  }
  add_work(other);
  tried([&] { stream.commit(); });
  const bool waited = tried([&] { event.wait(short_time()); });
  if (waited && marked && !arrived->load(std::memory_order_relaxed)) {
    finding("the wait for an event ended before what it marks had run");
  }
  tried([&] { other.commit(); });
  tried([&] {
    event.reset();
    lease.reset();
  });
}

/// Memory of both kinds, used, held for some steps, given back.
void FaultUser::hold_memory() {
  Stream stream;
  Held held;
  const bool pinned = random_.one_in(4);
  const std::size_t bytes = random_.log_uniform(1, 1 << 22);
  const bool allocated = tried([&] {
    stream = device_.stream();
    held.buffer = pinned ? device_.pinned_buffer(bytes) : device_.buffer(bytes);
  });
  if (!allocated) return;
  held.value = static_cast<std::uint8_t>(random_.next());
  CommandBuffer recording;
  const bool filled = tried([&] {
    recording = stream.command_buffer();
    stream.fill(held.buffer.data(), held.value, bytes);
  });
  if (filled) held.filled = std::move(recording);
  held_.push_back(std::move(held));
  look_at(held_[random_.below(held_.size())]);
  if (held_.size() > random_.below(8)) {
    tried([&] { held_[random_.below(held_.size())].buffer.reset(); });
  }
  if (random_.one_in(16)) tried([&] { device_.trim(); });
}

/// Was it filled, and is it still what it was filled with?
void FaultUser::look_at(const Held& held) {
  if (held.buffer.data() == nullptr || !held.filled.valid()) return;
  const auto look = std::make_shared<Look>(held);
  FaultHandler& counts = life_->handler();
  const auto handler = [look, life = life_, &counts, findings = &findings_,
                        index = index_](const Completion& completion) {
    const NoFaultsHere own;
    counts.told.fetch_add(1, std::memory_order_relaxed);
    if (look->differs(completion.status)) {
      findings->error(fmt::format("iteration {}: {} bytes do not hold what they were filled with", index,
                                  look->seen.size()));
    }
  };
  Stream stream;
  CommandBuffer copy;
  const bool kept = attached(counts, [&] {
    stream = device_.stream();
    copy = stream.command_buffer();
    copy.on_completed(handler);
  });
  // Without the handler nobody would keep the place that the copy goes to.
  if (!kept) return;
  const bool copied = tried([&] { stream.copy(look->seen.data(), held.buffer.data(), look->seen.size()); });
  look->copied.store(copied, std::memory_order_relaxed);
  if (!tried([&] { random_.one_in(2) ? stream.wait() : stream.wait(short_time()); })) return;
  if (!is_final(copy.status())) finding("a wait ended before the command buffer that it committed");
  if (look->differs(copy.status())) {
    finding(fmt::format("{} bytes do not hold what they were filled with after a wait", look->seen.size()));
  }
}

void FaultUser::wait_a_little() {
  tried([&] { device_.stream().wait(short_time()); });
}

/// A command buffer that is dropped; its handler is told, and its task does not run.
void FaultUser::given_up() {
  Stream stream;
  CommandBuffer buffer;
  const bool found = tried([&] {
    stream = device_.stream();
    buffer = stream.command_buffer();
  });
  if (!found) return;
  add_work(stream);
  tried([&] { buffer.abandon(); });
  tried([&] { buffer = CommandBuffer(); });
}

}  // namespace millrace::tool
