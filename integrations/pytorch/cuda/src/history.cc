#include "history.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <utility>

namespace millrace_torch {
namespace {

constexpr const char* kNotCompiled = "N/A";  // what torch's own says

struct Doing {
  std::vector<std::string> compile_contexts;
  std::string user_metadata;
};

Doing& doing() {
  static thread_local Doing mine;
  return mine;
}

}  // namespace

void History::record(bool enabled, c10::cuda::CUDACachingAllocator::CreateContextFn recorder,
                     std::size_t most_entries, Level when, bool clear,
                     const std::vector<std::string>& skipped) {
  TORCH_CHECK(when == Level::NEVER || recorder != nullptr,
              "recording stacks was asked for, and there is nothing that gathers them; pass context='alloc' "
              "from Python");
  const std::lock_guard lock(mutex_);
  recorder_.store(enabled ? recorder : nullptr, std::memory_order_release);
  level_.store(enabled ? when : Level::NEVER,
               std::memory_order_release);  // release: pairs with gather's acquire
  on_.store(enabled, std::memory_order_release);
  most_entries_ = std::max<std::size_t>(1, most_entries);
  skipped_.clear();
  for (const std::string& name : skipped)
    skipped_.insert(c10::CachingDeviceAllocator::parseTraceEntryAction(name));
  if (!enabled || clear) {
    entries_.clear();
    annotations_.clear();
  }
  watch_if_needed();
}

void History::attach(Tracker tracker) {
  const std::lock_guard lock(mutex_);
  trackers_.push_back(std::move(tracker));
  watch_if_needed();
}

void History::watch_if_needed() {
  // release: pairs with the acquire in is_watching.
  watching_.store(is_on() || !trackers_.empty() || !live_.empty(), std::memory_order_release);
}

History::Context History::gather(Level level) const {
  // acquire: pairs with the releases in record; the recorder is stored before the level.
  if (level_.load(std::memory_order_acquire) < level) return nullptr;
  const auto recorder = recorder_.load(std::memory_order_acquire);
  return recorder == nullptr ? nullptr : recorder();
}

void History::add_locked(Entry entry) {
  for (const Tracker& tracker : trackers_) tracker(entry);
  if (!is_on() || skipped_.contains(entry.action_)) return;
  if (level_.load(std::memory_order_relaxed) < Level::ALLOC)
    entry.context_ = nullptr;  // relaxed: under the mutex
  std::deque<Entry>& entries = entries_[entry.device_];
  while (entries.size() >= most_entries_) entries.pop_front();
  entries.push_back(std::move(entry));
}

void History::add(c10::DeviceIndex device, Action action, std::size_t address, std::size_t size,
                  cudaStream_t stream, Context context, c10::MempoolId_t pool) {
  const Doing& now = doing();
  Entry entry(action, device, address, size, stream, pool, c10::getApproximateTime(), std::move(context),
              now.compile_contexts.empty() ? std::string(kNotCompiled) : now.compile_contexts.back(),
              now.user_metadata);
  const std::lock_guard lock(mutex_);
  add_locked(std::move(entry));
}

void History::add_live(c10::DeviceIndex device, void* address, Live live) {
  add(device, Entry::ALLOC, reinterpret_cast<std::size_t>(address), live.requested, live.stream,
      live.context);
  const std::lock_guard lock(mutex_);
  if (is_on()) live_.insert_or_assign(address, std::move(live));
}

void History::remove_live(c10::DeviceIndex device, void* address, std::size_t size, Context context) {
  Live live{size, nullptr, nullptr};
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = live_.find(address); found != live_.end()) {
      live = std::move(found->second);
      live_.erase(found);
      watch_if_needed();
    }
  }
  if (context == nullptr) context = std::move(live.context);
  const auto number = reinterpret_cast<std::size_t>(address);
  add(device, Entry::FREE_REQUESTED, number, live.requested, live.stream, context);
  add(device, Entry::FREE_COMPLETED, number, live.requested, live.stream, std::move(context));
}

void History::annotate(c10::DeviceIndex device,
                       const std::vector<std::pair<std::string, std::string>>& metadata) {
  Annotation annotation(device, c10::getApproximateTime());
  for (const auto& [name, value] : metadata) annotation.recordUserMetadata(name, value);
  const std::lock_guard lock(mutex_);
  if (!is_on()) return;
  while (annotations_.size() >= most_entries_) annotations_.pop_front();
  annotations_.push_back(std::move(annotation));
}

std::optional<History::Live> History::find_live(const void* address) const {
  const std::lock_guard lock(mutex_);
  const auto found = live_.find(address);
  if (found == live_.end()) return std::nullopt;
  return found->second;
}

std::vector<History::Entry> History::entries(c10::DeviceIndex device) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(device);
  if (found == entries_.end()) return {};
  std::vector<Entry> all(found->second.begin(), found->second.end());
  const auto nanoseconds_of = clock_.makeConverter();
  for (Entry& entry : all) entry.time_.t_ = nanoseconds_of(entry.time_.approx_t_) / 1000;
  return all;
}

std::vector<History::Annotation> History::annotations() const {
  const std::lock_guard lock(mutex_);
  std::vector<Annotation> all(annotations_.begin(), annotations_.end());
  const auto nanoseconds_of = clock_.makeConverter();
  for (Annotation& annotation : all) annotation.time_.t_ = nanoseconds_of(annotation.time_.approx_t_) / 1000;
  return all;
}

void History::push_compile_context(const std::string& text) {
  doing().compile_contexts.push_back(text);
}

void History::pop_compile_context() {
  if (!doing().compile_contexts.empty()) doing().compile_contexts.pop_back();
}

void History::set_user_metadata(const std::string& text) {
  doing().user_metadata = text;
}

std::string History::user_metadata() {
  return doing().user_metadata;
}

}  // namespace millrace_torch
