#include "backends/cuda/mapped_memory.h"

#include <algorithm>
#include <iterator>
#include <new>
#include <string>
#include <utility>

#include "backends/cuda/driver.h"
#include "device/memory_range.h"

namespace millrace::cuda {
namespace {

/// A chunk is at most so much of the limit, and at most a gigabyte: larger ones cost no less a byte. And it
/// is at most so much of what is committed already, or what the commit's cut says.
constexpr std::size_t kChunksOfLimit = 64, kChunksOfCommitted = 1024;
constexpr std::size_t kLargestChunk = std::size_t{1} << 30;

CUmemAllocationProp physical_memory_of(const Properties& properties) {
  CUmemAllocationProp physical{};
  physical.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  physical.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  physical.location.id = properties.device;
  if (properties.shareable) physical.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  if (properties.rdma_capable) physical.allocFlags.gpuDirectRDMACapable = 1;
  return physical;
}

}  // namespace

MappedMemory::MappedMemory(const Properties& properties, std::size_t limit, std::string device)
    : Memory(properties, std::move(device)),
      largest_chunk_(std::clamp(limit / kChunksOfLimit / kGranule * kGranule, kGranule, kLargestChunk)),
      physical_(physical_memory_of(properties)) {}

MappedMemory::~MappedMemory() {
  if (leaked_ || context() == nullptr) return;
  const ContextScope scope(context());
  for (const auto& [address, chunk] : chunks_) give_back(address, chunk);
  for (const auto& [base, bytes] : reservations_) (void)driver().address_free(base, bytes);
}

Status MappedMemory::open(CUcontext context) {
  if (Status opened = Memory::open(context); !opened.ok()) return opened;
  std::size_t unit = 0;
  const CUresult result =
      driver().allocation_granularity(&unit, &physical_, CU_MEM_ALLOC_GRANULARITY_MINIMUM);
  if (result != CUDA_SUCCESS) return status_of(result, "asked for the unit of mapped memory", device());
  if (unit == 0 || kGranule % unit != 0) {
    return Status(ErrorCode::Unsupported,
                  "the device maps memory in units of " + std::to_string(unit) + " bytes; " +
                      std::to_string(kGranule) + " must be a multiple of that",
                  {.call = {}, .device = device(), .stream = -1, .rule = {}});
  }
  return {};
}

Status MappedMemory::reserve(std::size_t bytes, void** base) noexcept try {
  *base = nullptr;
  if (!is_whole_granules(0, bytes, kGranule)) {
    return refuse(ErrorCode::InvalidArgument, "reserve", nullptr, bytes,
                  "the size must be a multiple of " + std::to_string(kGranule) + " and not zero");
  }
  const ContextScope scope(context());
  CUdeviceptr address = 0;
  const CUresult result = driver().address_reserve(&address, bytes, kGranule, 0, 0);
  if (result == CUDA_ERROR_INVALID_VALUE || result == CUDA_ERROR_OUT_OF_MEMORY) {
    return refuse(ErrorCode::OutOfMemory, "reserve", nullptr, bytes,
                  "the driver has no range of addresses for it: " + describe(result));
  }
  if (result != CUDA_SUCCESS) return failed(result, "reserve", nullptr, bytes);
  try {
    sync::LockGuard lock(mutex_);
    reservations_.emplace(address, bytes);
  } catch (const std::bad_alloc&) {
    (void)driver().address_free(address, bytes);
    return no_memory();
  }
  *base = reinterpret_cast<void*>(address);
  return {};
} catch (const std::bad_alloc&) {  // while the failure was being described
  return no_memory();
}

void MappedMemory::release(void* base, std::size_t bytes) noexcept {
  const auto start = reinterpret_cast<std::uintptr_t>(base);
  decommit(base, bytes);
  {
    sync::LockGuard lock(mutex_);
    const auto found = reservations_.find(start);
    if (leaked_ || found == reservations_.end() || found->second != bytes) return;
    reservations_.erase(found);
  }
  const ContextScope scope(context());
  (void)driver().address_free(start, bytes);
}

bool MappedMemory::is_reserved(std::uintptr_t address, std::size_t bytes) const {
  auto found = reservations_.upper_bound(address);
  if (found == reservations_.begin()) return false;
  --found;
  const std::size_t offset = address - found->first;
  return offset < found->second && bytes <= found->second - offset;
}

Status MappedMemory::commit(void* address, std::size_t bytes, const Cut& cut) noexcept try {
  const auto start = reinterpret_cast<std::uintptr_t>(address);
  if (!is_whole_granules(start, bytes, kGranule)) {
    return refuse(ErrorCode::InvalidArgument, "commit", address, bytes,
                  "address and size must be multiples of " + std::to_string(kGranule));
  }
  std::size_t largest = 0;  // of the new chunks
  {
    sync::LockGuard lock(mutex_);
    const std::size_t part = std::max(committed_ / kChunksOfCommitted, bytes / cut.chunks);
    largest = std::min(largest_chunk_, std::max(cut.least, part / kGranule * kGranule));
    if (!is_reserved(start, bytes))
      return refuse(ErrorCode::InvalidArgument, "commit", address, bytes, "not within one reservation");
    const auto next = chunks_.lower_bound(start);
    const bool overlaps_next = next != chunks_.end() && next->first < start + bytes;
    const bool overlaps_last =
        next != chunks_.begin() && std::prev(next)->first + std::prev(next)->second.bytes > start;
    if (overlaps_next || overlaps_last)
      return refuse(ErrorCode::InvalidState, "commit", address, bytes, "part of it is committed already");
  }
  const ContextScope scope(context());
  Chunks made;
  CUresult result = CUDA_SUCCESS;
  bool no_room = false;
  try {
    result = map(start, bytes, largest, made);
    if (result == CUDA_SUCCESS) result = admit(start, bytes, made);
  } catch (const std::bad_alloc&) {
    no_room = true;
  }
  if (result == CUDA_SUCCESS && !no_room) return {};
  for (const auto& [at, chunk] : made) give_back(at, chunk);
  return no_room ? no_memory() : failed(result, "commit", address, bytes);
} catch (const std::bad_alloc&) {  // while the failure was being described
  return no_memory();
}

CUresult MappedMemory::admit(std::uintptr_t address, std::size_t bytes, Chunks& chunks) {
  for (std::size_t granted = 0;;) {
    std::vector<CUmemAccessDesc> wanted;
    {
      sync::LockGuard lock(mutex_);
      wanted = accesses();
      if (granted == wanted.size()) {  // nobody was granted access meanwhile
        chunks_.merge(chunks);
        committed_ += bytes;
        return CUDA_SUCCESS;
      }
    }
    granted = wanted.size();
    const CUresult result = driver().memory_set_access(address, bytes, wanted.data(), wanted.size());
    if (result != CUDA_SUCCESS) return result;
  }
}

std::vector<CUmemAccessDesc> MappedMemory::accesses() const {
  std::vector<CUmemAccessDesc> accesses{{physical_.location, CU_MEM_ACCESS_FLAGS_PROT_READWRITE}};
  for (const CUdevice peer : granted_) {
    accesses.push_back(
        {{.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = peer}, CU_MEM_ACCESS_FLAGS_PROT_READWRITE});
  }
  return accesses;
}

Status MappedMemory::grant_access(CUdevice peer) noexcept {
  try {
    if (peer == peers().own()) return {};
    if (Status reachable = peers().check_reachable_from(peer); !reachable.ok()) return reachable;
    const ContextScope scope(context());
    // With the mutex held over the calls, so that no chunk goes meanwhile. It is done once a peer.
    sync::LockGuard lock(mutex_);
    if (std::ranges::find(granted_, peer) != granted_.end()) return {};
    granted_.push_back(peer);
    const std::vector<CUmemAccessDesc> wanted = accesses();
    for (const auto& [address, chunk] : chunks_) {
      const CUresult result = driver().memory_set_access(address, chunk.bytes, wanted.data(), wanted.size());
      if (result == CUDA_SUCCESS) continue;
      granted_.pop_back();  // some chunks are shared all the same, which harms nobody
      return failed(result, "let cuda:" + std::to_string(peer) + " reach", reinterpret_cast<void*>(address),
                    chunk.bytes);
    }
    return {};
  } catch (const std::bad_alloc&) {
    return no_memory();
  }
}

CUresult MappedMemory::map(std::uintptr_t address, std::size_t bytes, std::size_t largest,
                           Chunks& chunks) const {
  for (std::size_t done = 0; done < bytes;) {
    const std::size_t size = std::min(bytes - done, largest);
    Chunk& chunk = chunks[address + done];
    CUresult result = driver().memory_create(&chunk.handle, size, &physical_, 0);
    if (result == CUDA_SUCCESS) {
      result = driver().memory_map(address + done, size, 0, chunk.handle, 0);
      if (result != CUDA_SUCCESS) (void)driver().memory_release(chunk.handle);
    }
    if (result != CUDA_SUCCESS) {
      chunks.erase(address + done);
      return result;
    }
    chunk.bytes = size;
    done += size;
  }
  return CUDA_SUCCESS;
}

std::span<std::byte> MappedMemory::decommittable(void* address, std::size_t bytes) const noexcept {
  const auto start = reinterpret_cast<std::uintptr_t>(address);
  const std::uintptr_t end = start + bytes;
  sync::LockGuard lock(mutex_);
  const auto first = chunks_.lower_bound(start);
  std::uintptr_t last_end = 0;
  // A committed range is tiled by chunks: those within it follow each other.
  for (auto chunk = first; chunk != chunks_.end() && chunk->first + chunk->second.bytes <= end; ++chunk)
    last_end = chunk->first + chunk->second.bytes;
  if (last_end == 0) return {};
  return {reinterpret_cast<std::byte*>(first->first), last_end - first->first};
}

void MappedMemory::give_back(std::uintptr_t address, const Chunk& chunk) const noexcept {
  (void)driver().memory_unmap(address, chunk.bytes);
  (void)driver().memory_release(chunk.handle);
}

void MappedMemory::decommit(void* address, std::size_t bytes) noexcept {
  const auto start = reinterpret_cast<std::uintptr_t>(address);
  const ContextScope scope(context());
  for (;;) {
    Chunks::node_type taken;
    {
      sync::LockGuard lock(mutex_);
      const auto chunk = chunks_.lower_bound(start);
      if (leaked_ || chunk == chunks_.end() || chunk->first + chunk->second.bytes > start + bytes) return;
      committed_ -= chunk->second.bytes;
      taken = chunks_.extract(chunk);
    }
    give_back(taken.key(), taken.mapped());
  }
}

Moved MappedMemory::move(std::span<std::byte> range, void* to, std::size_t wanted,
                         std::size_t room) noexcept {
  const auto start = reinterpret_cast<std::uintptr_t>(range.data());
  const auto target = reinterpret_cast<std::uintptr_t>(to);
  std::size_t bytes = 0;
  Chunks moving;  // by their new addresses
  {
    sync::LockGuard lock(mutex_);
    for (auto chunk = chunks_.lower_bound(start); !leaked_ && bytes < wanted && chunk != chunks_.end();) {
      const std::size_t size = chunk->second.bytes;
      if (chunk->first + size > start + range.size() || bytes + size > room) break;
      auto node = chunks_.extract(chunk++);
      node.key() = target + bytes;
      moving.insert(std::move(node));
      bytes += size;
    }
    committed_ -= bytes;
  }
  if (bytes == 0) return {};
  const ContextScope scope(context());
  CUresult result = CUDA_SUCCESS;
  bool no_room = false;
  for (const auto& [address, chunk] : moving) {
    (void)driver().memory_unmap(address - target + start, chunk.bytes);
    if (result == CUDA_SUCCESS) result = driver().memory_map(address, chunk.bytes, 0, chunk.handle, 0);
  }
  try {
    if (result == CUDA_SUCCESS) result = admit(target, bytes, moving);
  } catch (const std::bad_alloc&) {
    no_room = true;
  }
  if (result == CUDA_SUCCESS && !no_room) return {bytes, bytes, {}};
  for (const auto& [address, chunk] : moving) give_back(address, chunk);
  if (no_room) return {bytes, 0, no_memory()};
  try {
    return {bytes, 0, failed(result, "move", to, bytes)};
  } catch (const std::bad_alloc&) {  // while the failure was being described
    return {bytes, 0, no_memory()};
  }
}

bool MappedMemory::contains(const void* address, std::size_t bytes) const noexcept {
  const auto start = reinterpret_cast<std::uintptr_t>(address);
  sync::LockGuard lock(mutex_);
  auto chunk = chunks_.upper_bound(start);
  if (chunk == chunks_.begin()) return false;
  --chunk;
  std::uintptr_t covered = chunk->first + chunk->second.bytes;
  for (++chunk; covered < start + bytes && chunk != chunks_.end() && chunk->first == covered; ++chunk)
    covered += chunk->second.bytes;
  return start < covered && covered - start >= bytes;
}

std::size_t MappedMemory::committed_bytes() const noexcept {
  sync::LockGuard lock(mutex_);
  return committed_;
}

void MappedMemory::leak() noexcept {
  Memory::leak();
  sync::LockGuard lock(mutex_);
  leaked_ = true;
}

}  // namespace millrace::cuda
