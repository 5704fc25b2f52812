// Backends whose memory is counted a second time, apart from the library's own accounting.
#pragma once

#include <gtest/gtest.h>
#include <millrace/error.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "device/backend.h"
#include "device/memory_range.h"

namespace millrace::test {

/// Which granules are reserved and committed, and whether a limit was ever passed: each commit and
/// decommit is checked on its own, before the library can tidy up.
///
/// Thread safety: all members from any thread.
class MemoryLedger {
 public:
  void reserved(void* base, std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    heaps_[base] = bytes;
  }
  void released(void* base, std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    const auto heap = heaps_.find(base);
    if (heap == heaps_.end() || heap->second != bytes) {
      ADD_FAILURE() << "release of what was not reserved";
      return;
    }
    const auto next = ranges_.lower_bound(base);
    if (next != ranges_.end() && next->first < static_cast<std::byte*>(base) + bytes) {
      ADD_FAILURE() << "release of memory that is committed";
    }
    heaps_.erase(heap);
  }
  void committed(void* at, std::size_t bytes, std::size_t granule) {
    const std::lock_guard lock(mutex_);
    ++commits_;
    enter(at, bytes, granule);
  }
  void decommitted(void* at, std::size_t bytes, std::size_t granule) {
    const std::lock_guard lock(mutex_);
    strike(at, bytes, granule);
  }

  void moved(void* from, void* to, const Moved& moved, std::size_t granule) {
    const std::lock_guard lock(mutex_);
    strike(from, moved.gone, granule);
    enter(to, moved.arrived, granule);
    moved_bytes_ += moved.gone;
  }

  void set_limit(std::size_t limit) {
    const std::lock_guard lock(mutex_);
    limit_ = limit;
  }
  std::size_t bytes() const { return get(bytes_); }
  std::size_t peak() const { return get(peak_); }
  std::size_t moved_bytes() const { return get(moved_bytes_); }
  std::size_t commits() const { return get(commits_); }
  std::size_t heaps() const {
    const std::lock_guard lock(mutex_);
    return heaps_.size();
  }
  /// Is the range the whole of a reservation?
  bool is_heap(void* base, std::size_t bytes) const {
    const std::lock_guard lock(mutex_);
    const auto heap = heaps_.find(base);
    return heap != heaps_.end() && heap->second == bytes;
  }

 private:
  // With the mutex held.
  void enter(void* at, std::size_t bytes, std::size_t granule) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(at) % granule, 0u);
    EXPECT_EQ(bytes % granule, 0u);
    auto* address = static_cast<std::byte*>(at);
    for (std::size_t done = 0; done < bytes; done += granule) {
      if (!ranges_.emplace(address + done, granule).second) ADD_FAILURE() << "a granule was committed twice";
    }
    bytes_ += bytes;
    peak_ = std::max(peak_, bytes_);
    EXPECT_LE(bytes_, limit_) << "more was committed than the limit allows";
  }
  void strike(void* at, std::size_t bytes, std::size_t granule) {
    auto* address = static_cast<std::byte*>(at);
    for (std::size_t done = 0; done < bytes; done += granule) {
      if (ranges_.erase(address + done) == 0)
        ADD_FAILURE() << "a granule was given back that was not committed";
    }
    bytes_ -= bytes;
  }
  std::size_t get(const std::size_t& figure) const {
    const std::lock_guard lock(mutex_);
    return figure;
  }

  mutable std::mutex mutex_;
  std::map<void*, std::size_t> heaps_;
  std::map<void*, std::size_t> ranges_;  // committed granules
  std::size_t bytes_ = 0, moved_bytes_ = 0, peak_ = 0, commits_ = 0;
  std::size_t limit_ = ~std::size_t{0};
};

/// Another backend with a ledger beside it; the ledger outlives it.
///
/// Commits are entered before they are made and decommits struck out after: the ledger never shows less
/// than what the device has given.
///
/// Thread safety: as Backend.
class CountedBackend final : public Backend {
 public:
  CountedBackend(std::unique_ptr<Backend> inner, std::shared_ptr<MemoryLedger> ledger)
      : inner_(std::move(inner)), ledger_(std::move(ledger)) {}

  const DeviceInfo& info() const noexcept override { return inner_->info(); }
  std::size_t granule() const noexcept override { return inner_->granule(); }
  std::size_t default_memory_limit() const noexcept override { return inner_->default_memory_limit(); }
  Status start(int queues, CompletionSink& sink) override { return inner_->start(queues, sink); }
  void stop() noexcept override { inner_->stop(); }
  void cancel() noexcept override { inner_->cancel(); }
  Status reserve(std::size_t bytes, void** base) noexcept override {
    Status status = inner_->reserve(bytes, base);
    if (status.ok()) ledger_->reserved(*base, bytes);
    return status;
  }
  void release(void* base, std::size_t bytes) noexcept override {
    ledger_->released(base, bytes);
    inner_->release(base, bytes);
  }
  Status commit(void* address, std::size_t bytes) noexcept override {
    ledger_->committed(address, bytes, granule());
    Status status = inner_->commit(address, bytes);
    if (!status.ok()) ledger_->decommitted(address, bytes, granule());
    return status;
  }
  std::span<std::byte> decommittable(void* address, std::size_t bytes) const noexcept override {
    return inner_->decommittable(address, bytes);
  }
  void decommit(void* address, std::size_t bytes) noexcept override {
    inner_->decommit(address, bytes);
    ledger_->decommitted(address, bytes, granule());
  }
  Status commit_lasting(void* address, std::size_t bytes) noexcept override {
    ledger_->committed(address, bytes, granule());
    Status status = inner_->commit_lasting(address, bytes);
    if (!status.ok()) ledger_->decommitted(address, bytes, granule());
    return status;
  }
  Moved move(std::span<std::byte> range, void* to, std::size_t wanted, std::size_t room) noexcept override {
    const Moved moved = inner_->move(range, to, wanted, room);
    ledger_->moved(range.data(), to, moved, granule());
    return moved;
  }
  bool commits_whole() const noexcept override { return inner_->commits_whole(); }
  std::size_t scratch_bytes(const ReduceWork& work) const noexcept override {
    return inner_->scratch_bytes(work);
  }
  std::optional<MemoryRoom> room() const noexcept override { return inner_->room(); }
  /// Not counted.
  MemorySource& pinned() noexcept override { return inner_->pinned(); }
  std::unique_ptr<SubmissionHolder> make_holder() override { return inner_->make_holder(); }
  Status submit(Submission&& submission) noexcept override { return inner_->submit(std::move(submission)); }
  bool assist(QueueId queue) noexcept override { return inner_->assist(queue); }
  void host_knows(TimelinePoint point) noexcept override { inner_->host_knows(point); }
  void set_accessible(void* address, std::size_t bytes, bool accessible) noexcept override {
    inner_->set_accessible(address, bytes, accessible);
  }
  std::vector<MissingDependency> missing_dependencies() const override {
    return inner_->missing_dependencies();
  }
  bool on_own_thread() const noexcept override { return inner_->on_own_thread(); }

 private:
  const std::unique_ptr<Backend> inner_;
  const std::shared_ptr<MemoryLedger> ledger_;
};

/// Address space that nobody may touch, for the layers that only do the bookkeeping; runs no work.
///
/// Thread safety: as Backend; failures are set before use.
class AddressesOnly final : public Backend {
 public:
  explicit AddressesOnly(std::size_t granule) : granule_(granule) {}

  MemoryLedger ledger;
  bool refuse_reserve = false;
  bool refuse_commit = false;
  bool whole = false;          ///< reservations are committed as wholes
  std::size_t least_room = 0;  ///< chunks are so large

  const DeviceInfo& info() const noexcept override { return info_; }
  std::size_t granule() const noexcept override { return granule_; }
  std::size_t default_memory_limit() const noexcept override { return std::size_t{1} << 30; }
  Status start(int, CompletionSink&) override { return {}; }
  void stop() noexcept override {}
  void cancel() noexcept override {}
  bool commits_whole() const noexcept override { return whole; }
  Status reserve(std::size_t bytes, void** base) noexcept override {
    if (refuse_reserve) return refused();
    *base = reinterpret_cast<void*>(next_.fetch_add(bytes + granule_));
    ledger.reserved(*base, bytes);
    return {};
  }
  void release(void* base, std::size_t bytes) noexcept override { ledger.released(base, bytes); }
  Status commit(void* address, std::size_t bytes) noexcept override {
    if (refuse_commit) return refused();
    if (whole && !ledger.is_heap(address, bytes)) ADD_FAILURE() << "a part of a heap was committed";
    ledger.committed(address, bytes, granule_);
    return {};
  }
  std::span<std::byte> decommittable(void* address, std::size_t bytes) const noexcept override {
    if (whole && !ledger.is_heap(address, bytes)) return {};
    return granules_within(address, bytes, granule_);
  }
  void decommit(void* address, std::size_t bytes) noexcept override {
    ledger.decommitted(address, bytes, granule_);
  }
  Moved move(std::span<std::byte> range, void* to, std::size_t wanted, std::size_t room) noexcept override {
    if (room < least_room) return {};
    const std::size_t bytes = std::min({range.size(), wanted, room});
    const Moved moved{bytes, refuse_commit ? 0 : bytes, refuse_commit ? refused() : Status()};
    ledger.moved(range.data(), to, moved, granule_);
    return moved;
  }
  Status submit(Submission&&) noexcept override { return refused(); }
  bool assist(QueueId) noexcept override { return false; }
  void host_knows(TimelinePoint) noexcept override {}
  void set_accessible(void*, std::size_t, bool) noexcept override {}
  std::vector<MissingDependency> missing_dependencies() const override { return {}; }
  bool on_own_thread() const noexcept override { return false; }

 private:
  static Status refused() { return Status(ErrorCode::OutOfMemory, "the test's device was told to refuse"); }

  const std::size_t granule_;
  const DeviceInfo info_;
  std::atomic<std::uintptr_t> next_{std::uintptr_t{1} << 40};
};

}  // namespace millrace::test
