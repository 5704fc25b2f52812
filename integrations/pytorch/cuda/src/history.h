// What happened to torch's CUDA memory, as torch.cuda.memory._snapshot shows it.
#pragma once

#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/util/ApproximateClock.h>

#include <atomic>
#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace millrace_torch {

/// Recorded events, and who allocated what is live, as far as recording was on by then.
///
/// Thread safety: all members from any thread at any time.
class History {
 public:
  using Context = std::shared_ptr<c10::GatheredContext>;
  using Entry = c10::CachingDeviceAllocator::TraceEntry;
  using Action = Entry::Action;
  using Level = c10::CachingDeviceAllocator::RecordContext;
  using Annotation = c10::CachingDeviceAllocator::AnnotationEntry;
  using Tracker = c10::CachingDeviceAllocator::AllocatorTraceTracker;
  /// A block that a caller holds.
  struct Live {
    std::size_t requested = 0;
    cudaStream_t stream = nullptr;
    Context context;
  };

  /// Recording, or somebody is told, or blocks are live that were recorded? One load.
  bool is_watching() const noexcept {
    return watching_.load(std::memory_order_acquire);
  }  // acquire: as set's release
  bool is_on() const noexcept { return on_.load(std::memory_order_acquire); }

  /// most_entries: how many events are kept, the newest; skipped: the names of those that are not.
  void record(bool enabled, c10::cuda::CUDACachingAllocator::CreateContextFn recorder,
              std::size_t most_entries, Level when, bool clear, const std::vector<std::string>& skipped);
  void attach(Tracker tracker);

  /// The caller's stack, if it is to be kept at that level. No lock is held.
  Context gather(Level level) const;
  void add_live(c10::DeviceIndex device, void* address, Live live);
  /// size: of the block, where nobody recorded what was asked for.
  void remove_live(c10::DeviceIndex device, void* address, std::size_t size, Context context);
  void add(c10::DeviceIndex device, Action action, std::size_t address, std::size_t size, cudaStream_t stream,
           Context context, c10::MempoolId_t pool = {0, 0});
  void annotate(c10::DeviceIndex device, const std::vector<std::pair<std::string, std::string>>& metadata);

  std::optional<Live> find_live(const void* address) const;
  /// Of a device, the oldest first, with times in microseconds since 1970.
  std::vector<Entry> entries(c10::DeviceIndex device) const;
  std::vector<Annotation> annotations() const;

  // What the calling thread is doing, noted in its events.
  static void push_compile_context(const std::string& text);
  static void pop_compile_context();
  static void set_user_metadata(const std::string& text);
  static std::string user_metadata();

 private:
  void add_locked(Entry entry);
  void watch_if_needed();  // with the mutex held

  std::atomic<bool> watching_{false};
  std::atomic<bool> on_{false};
  std::atomic<c10::cuda::CUDACachingAllocator::CreateContextFn> recorder_{nullptr};
  std::atomic<Level> level_{Level::NEVER};

  mutable std::mutex mutex_;  // protects what follows
  std::size_t most_entries_ = 1;
  std::set<Action> skipped_;
  std::vector<Tracker> trackers_;
  std::map<c10::DeviceIndex, std::deque<Entry>> entries_;
  std::deque<Annotation> annotations_;
  std::unordered_map<const void*, Live> live_;
  mutable c10::ApproximateClockToUnixTimeConverter clock_;
};

}  // namespace millrace_torch
