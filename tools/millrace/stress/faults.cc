#include "faults.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "stress/kinds.h"

namespace millrace::tool {
namespace {

constexpr int kSteps = 100;
constexpr std::size_t kUsers = 2;
constexpr std::size_t kBytes = 4096;

/// What the threads of one device attached. Each handler and task holds it, so that whoever has it last
/// knows whether one of them was forgotten.
struct Life {
  // relaxed: only counted; the joins and the close order them before they are read.
  std::atomic<std::uint64_t> attached{0};
  std::atomic<std::uint64_t> told{0};
};

/// One command buffer's task and handler.
struct Work {
  explicit Work(std::shared_ptr<Life> of) : life(std::move(of)) {}
  const std::shared_ptr<Life> life;
  // relaxed: the task, the handler and the end of the iteration come one after the other.
  std::atomic<std::uint32_t> recorded{0};
  std::atomic<std::uint32_t> ran{0};
};

/// May a call end in this way where the system refuses what it asks for?
bool is_refusal(const Error& error) {
  switch (error.code()) {
    case ErrorCode::OutOfMemory:
    case ErrorCode::WorkFailed:  // that was planted, or that there was no memory for
    case ErrorCode::TimedOut:
    case ErrorCode::PoolExhausted:
    case ErrorCode::Closed: return true;
    // A commit was refused, and then the lease of its stream ended.
    case ErrorCode::InvalidState: return error.rule() == "waited-work-abandoned";
    default: return false;
  }
}

/// One thread's way through a device that is refused things.
class User {
 public:
  User(Device device, std::shared_ptr<Faults> faults, std::shared_ptr<Life> life, Random random,
       std::uint64_t index, Findings& findings)
      : device_(std::move(device)),
        faults_(std::move(faults)),
        life_(std::move(life)),
        random_(random),
        index_(index),
        findings_(findings) {}

  void go() {
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
    std::thread([&] { tried([&] { held_.resize(held_.size() / 2); }); }).join();
    tried([&] { held_.clear(); });
    // What the thread keeps for the device goes at its exit.
    tried([&] { device_ = Device(); });
  }

 private:
  /// The call is made among faults: it does what it says, or has done nothing.
  template <typename Call>
  bool tried(Call&& call) {
    try {
      const FaultsHere scope(faults_);
      call();
      return true;
    } catch (const std::bad_alloc&) {
      return false;
    } catch (const Error& error) {
      if (!is_refusal(error)) findings_.error(fmt::format("iteration {}: {}", index_, error.what()));
      return false;
    } catch (const std::exception& error) {
      findings_.error(fmt::format("iteration {}: no error of the library's: {}", index_, error.what()));
      return false;
    }
  }

  /// A task and a handler for the command buffer that the stream is recording.
  void add_work(Stream stream) {
    const auto work = std::make_shared<Work>(life_);
    const bool fails = random_.one_in(16);
    const auto task = [work, fails] {
      const NoFaultsHere own;
      work->ran.fetch_add(1, std::memory_order_relaxed);
      if (fails) throw std::runtime_error("planted failure");
    };
    if (tried([&] { stream.run("task", task); })) work->recorded.store(1, std::memory_order_relaxed);
    Findings* const findings = &findings_;
    const auto handler = [work, findings, index = index_](const Completion& completion) {
      const NoFaultsHere own;
      work->life->told.fetch_add(1, std::memory_order_relaxed);
      const std::uint32_t recorded = work->recorded.load(std::memory_order_relaxed);
      const std::uint32_t ran = work->ran.load(std::memory_order_relaxed);
      const bool all = completion.status == BufferStatus::completed;
      if (all ? ran != recorded : ran > recorded) {
        findings->error(fmt::format("iteration {}: a {} command buffer's {} tasks ran {} times", index,
                                    to_string(completion.status), recorded, ran));
      }
    };
    const bool scheduled = random_.one_in(2);
    const bool attached =
        tried([&] { scheduled ? stream.on_scheduled(kept(work)) : stream.on_completed(handler); });
    if (attached) life_->attached.fetch_add(1, std::memory_order_relaxed);
  }

  static Handler kept(const std::shared_ptr<Work>& work) {
    return [work](const Completion&) {
      const NoFaultsHere own;
      work->life->told.fetch_add(1, std::memory_order_relaxed);
    };
  }

  void own_stream() {
    Stream stream;
    if (!tried([&] { stream = device_.stream(); })) return;
    add_work(stream);
    if (random_.one_in(2)) tried([&] { stream.commit(); });
  }

  void leased_stream() {
    StreamLease lease;
    if (!tried([&] { lease = device_.lease(); })) return;
    add_work(lease.stream());
    if (random_.one_in(2)) tried([&] { lease.stream().commit(); });
    tried([&] { lease.reset(); });
  }

  /// An event of the own stream, waited for by a leased one and by the thread.
  void pass_on() {
    Stream stream;
    StreamLease lease;
    Event event;
    const bool recorded = tried([&] {
      stream = device_.stream();
      lease = device_.lease();
      event = device_.event();
      event.record(stream);
    });
    if (recorded) {
      add_work(stream);
      Stream other = lease.stream();
      tried([&] { other.wait_event(event); });
      add_work(other);
      tried([&] { stream.commit(); });
      tried([&] { event.wait(short_time()); });
      tried([&] { other.commit(); });
    }
    tried([&] {
      event.reset();
      lease.reset();
    });
  }

  /// Memory of both kinds, used, held for some steps, given back.
  void hold_memory() {
    Stream stream;
    Buffer buffer;
    const bool pinned = random_.one_in(4);
    const std::size_t bytes = random_.log_uniform(1, 1 << 22);
    const bool allocated = tried([&] {
      stream = device_.stream();
      buffer = pinned ? device_.pinned_buffer(bytes) : device_.buffer(bytes);
    });
    if (!allocated) return;
    tried([&] { stream.fill(buffer.data(), 1, bytes); });
    held_.push_back(std::move(buffer));
    if (held_.size() > random_.below(8)) {
      tried([&] { held_[random_.below(held_.size())].reset(); });
    }
    if (random_.one_in(16)) tried([&] { device_.trim(); });
  }

  void wait_a_little() {
    tried([&] { device_.stream().wait(short_time()); });
  }

  /// A command buffer that is dropped; its handler is told, and its task does not run.
  void given_up() {
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

  std::chrono::nanoseconds short_time() { return std::chrono::microseconds(random_.below(500)); }

  Device device_;
  const std::shared_ptr<Faults> faults_;
  const std::shared_ptr<Life> life_;
  Random random_;
  const std::uint64_t index_;
  Findings& findings_;
  std::vector<Buffer> held_;
};

DeviceOptions small_device(Random& random) {
  DeviceOptions options;
  options.workers = 2;
  options.streams = 6;
  options.memory_limit = std::size_t{64} << 20;
  options.pinned_limit = std::size_t{64} << 20;
  options.exhaustion = random.one_in(2) ? ExhaustionPolicy::wait : ExhaustionPolicy::fail;
  options.exhaustion_timeout = std::chrono::milliseconds(1);
  options.out_of_memory_wait = std::chrono::milliseconds(5);
  options.thread_cache_bytes = std::size_t{1} << 20;
  return options;
}

/// Opened among faults, at the latest when it has been refused often enough.
Device open_among(const std::shared_ptr<Faults>& faults, const StressOptions& options,
                  const DeviceOptions& device) {
  for (int i = 0; i < 20; ++i) {
    try {
      const FaultsHere scope(faults);
      return stress_device(options, device);
    } catch (const std::bad_alloc&) {
    } catch (const Error& error) {
      if (error.code() != ErrorCode::OutOfMemory) throw;
    }
  }
  return stress_device(options, device);
}

/// With no more faults everything is as it should be, whatever was refused before.
void check_it_works(Device device, Findings& findings) {
  for (bool failed = true; failed;) {
    failed = false;
    try {
      device.synchronize();
    } catch (const Error& error) {
      if (!is_refusal(error)) findings.error(error.what());
      failed = true;
    }
  }
  const StreamLease lease = device.lease();
  Stream stream = lease.stream();
  Buffer buffer = device.buffer(stream, kBytes);
  std::vector<std::uint8_t> seen(kBytes);
  stream.fill(buffer.data(), 7, kBytes);
  stream.copy(seen.data(), buffer.data(), kBytes);
  stream.wait();
  if (seen != std::vector<std::uint8_t>(kBytes, 7)) findings.error("a fill after the faults did not arrive");
  buffer.reset();
  check_device_at_rest(device, findings);
}

FaultRates rates_for(bool driver, bool protect, Random& random) {
  // A driver has threads and mappings of its own, and is not what is under test.
  FaultRates rates{.allocations = std::uint32_t{4} << random.below(7)};
  if (driver) return rates;
  rates.threads = std::uint32_t{2} << random.below(3);
  // Protect mode makes pages unreadable and readable again, which no system refuses as it does new ones.
  if (!protect) rates.mappings = std::uint32_t{2} << random.below(4);
  return rates;
}

}  // namespace

std::uint64_t stress_faults(const StressOptions& options, Findings& findings) {
  const bool driver = stress_device(options).info().driver_streams;
  std::atomic<std::uint64_t> asked[kFaults] = {};  // relaxed: sums that the joins hand over
  const std::uint64_t done = for_each_iteration(options, findings, [&](std::uint64_t index, Random& random) {
    const auto faults = std::make_shared<Faults>(rates_for(driver, options.protect, random), random.next());
    const auto life = std::make_shared<Life>();
    const DeviceOptions device_options = small_device(random);
    Device device = open_among(faults, options, device_options);
    std::vector<std::thread> users;
    for (std::size_t i = 0; i < kUsers; ++i) {
      users.emplace_back([&, device, i]() mutable {
        User(std::move(device), faults, life, Random(options.seed, index * kUsers + i), index, findings).go();
      });
    }
    const bool close_under_them = random.one_in(4);
    if (close_under_them) {
      std::this_thread::sleep_for(std::chrono::microseconds(random.below(2000)));
      const FaultsHere scope(faults);
      device.close();
    }
    for (std::thread& user : users) user.join();
    if (!close_under_them) {
      faults->turn(false);
      attempt(findings, fmt::format("iteration {}, after the faults", index),
              [&] { check_it_works(device, findings); });
      faults->turn(true);
    }
    {
      const FaultsHere scope(faults);
      device = Device();
    }
    const std::uint64_t attached = life->attached.load(std::memory_order_relaxed);
    const std::uint64_t told = life->told.load(std::memory_order_relaxed);
    if (told != attached) {
      findings.error(fmt::format("iteration {}: {} handlers attached, {} told", index, attached, told));
    }
    if (life.use_count() != 1) {
      findings.error(fmt::format("iteration {}: {} handlers or tasks are still there after the close", index,
                                 life.use_count() - 1));
    }
    for (std::size_t i = 0; i < kFaults; ++i)
      asked[i].fetch_add(faults->asked(static_cast<Fault>(i)), std::memory_order_relaxed);
  });
  const bool expected[kFaults] = {true, !driver, !driver && !options.protect};
  for (std::size_t i = 0; i < kFaults; ++i) {
    if (expected[i] && asked[i].load(std::memory_order_relaxed) == 0)
      findings.error(fmt::format("no fault of kind {} could strike: nothing of it was asked for", i));
  }
  return done;
}

}  // namespace millrace::tool
