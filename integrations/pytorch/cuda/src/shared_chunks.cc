#include "shared_chunks.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cuda_driver.h"

namespace millrace_torch {
namespace {

// What a handle is: this, then as many chunks as it says.
struct Header {
  char magic[8];
  std::int64_t process;
  std::uint64_t chunks;
};
struct Chunk {
  std::int64_t descriptor;  // of the process that exported it
  std::uint64_t bytes;
};
constexpr char kMagic[8] = {'m', 'i', 'l', 'l', 'r', 'a', 'c', '1'};

struct Mapping {
  CUdeviceptr start = 0;
  std::size_t bytes = 0;
};

/// The chunk that the address lies in, as it was mapped.
Mapping mapping_at(CUdeviceptr address) {
  static const auto get = driver_function<decltype(&cuPointerGetAttribute)>("cuPointerGetAttribute");
  Mapping mapping;
  check_driver(get(&mapping.start, CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR, address),
               "say where memory is mapped");
  check_driver(get(&mapping.bytes, CU_POINTER_ATTRIBUTE_MAPPING_SIZE, address), "say where memory is mapped");
  return mapping;
}

/// Descriptors of what this process has exported, by the memory's own number, since a chunk may be mapped
/// elsewhere later and another one where it was.
class Exports {
 public:
  int descriptor_of(const Mapping& mapping) {
    static const auto retain =
        driver_function<decltype(&cuMemRetainAllocationHandle)>("cuMemRetainAllocationHandle");
    static const auto release = driver_function<decltype(&cuMemRelease)>("cuMemRelease");
    static const auto share =
        driver_function<decltype(&cuMemExportToShareableHandle)>("cuMemExportToShareableHandle");
    CUmemGenericAllocationHandle memory = 0;
    check_driver(retain(&memory, reinterpret_cast<void*>(mapping.start)), "find the memory of a block");
    const std::lock_guard lock(mutex_);
    if (const auto found = descriptors_.find(memory); found != descriptors_.end()) {
      release(memory);
      return found->second;
    }
    int descriptor = -1;
    const CUresult result = share(&descriptor, memory, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0);
    if (result != CUDA_SUCCESS) release(memory);
    check_driver(
        result,
        "export memory for another process (file descriptors of CUDA memory may not be supported here)");
    // The memory is not released: its number stays its own while the descriptor is open.
    descriptors_.emplace(memory, descriptor);
    return descriptor;
  }

 private:
  std::mutex mutex_;  // protects what follows
  std::map<CUmemGenericAllocationHandle, int> descriptors_;
};

int open_descriptor_of(std::int64_t process, std::int64_t descriptor) {
  if (process == getpid()) return dup(static_cast<int>(descriptor));
  const auto other = static_cast<int>(syscall(SYS_pidfd_open, process, 0));
  TORCH_CHECK(other >= 0, "the process ", process, " that shared CUDA memory is gone: ", std::strerror(errno),
              "; keep it until its tensors have been received");
  const auto own = static_cast<int>(syscall(SYS_pidfd_getfd, other, descriptor, 0));
  const int error = errno;
  close(other);
  TORCH_CHECK(own >= 0, "the memory that process ", process,
              " shared can't be opened: ", std::strerror(error),
              "; both processes must be of one user, and kernel.yama.ptrace_scope 0 or one of them the "
              "other's child");
  return own;
}

/// Memory of another process, mapped here until it is destroyed.
class Imported {
 public:
  Imported(const std::string& handle, int device) {
    Header header{};
    TORCH_CHECK(handle.size() >= sizeof header, "a handle of shared CUDA memory was expected, and these are ",
                handle.size(), " bytes: both processes must use Millrace's allocator");
    std::memcpy(&header, handle.data(), sizeof header);
    TORCH_CHECK(std::memcmp(header.magic, kMagic, sizeof kMagic) == 0 &&
                    handle.size() == sizeof header + header.chunks * sizeof(Chunk),
                "this handle of shared CUDA memory is not Millrace's: both processes must use its allocator "
                "for torch");
    std::vector<Chunk> chunks(header.chunks);
    std::memcpy(chunks.data(), handle.data() + sizeof header, chunks.size() * sizeof(Chunk));
    for (const Chunk& chunk : chunks) bytes_ += chunk.bytes;
    static const auto reserve = driver_function<decltype(&cuMemAddressReserve)>("cuMemAddressReserve");
    check_driver(reserve(&start_, bytes_, 0, 0, 0), "reserve addresses for shared memory");
    try {
      for (const Chunk& chunk : chunks)
        map(open_descriptor_of(header.process, chunk.descriptor), chunk.bytes);
      allow(device);
    } catch (...) {
      unmap();
      throw;
    }
  }
  Imported(const Imported&) = delete;
  Imported& operator=(const Imported&) = delete;
  ~Imported() { unmap(); }
  void* start() const noexcept { return reinterpret_cast<void*>(start_); }

 private:
  void map(int descriptor, std::size_t bytes) {
    static const auto open =
        driver_function<decltype(&cuMemImportFromShareableHandle)>("cuMemImportFromShareableHandle");
    static const auto release = driver_function<decltype(&cuMemRelease)>("cuMemRelease");
    static const auto map = driver_function<decltype(&cuMemMap)>("cuMemMap");
    CUmemGenericAllocationHandle memory = 0;
    const CUresult opened = open(&memory, reinterpret_cast<void*>(static_cast<std::intptr_t>(descriptor)),
                                 CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
    close(descriptor);
    check_driver(opened, "open memory of another process");
    const CUresult result = map(start_ + mapped_, bytes, 0, memory, 0);
    release(memory);  // the mapping keeps it
    check_driver(result, "map memory of another process");
    mapped_ += bytes;
  }
  void allow(int device) {
    static const auto set_access = driver_function<decltype(&cuMemSetAccess)>("cuMemSetAccess");
    CUmemAccessDesc access{};
    access.location = {CU_MEM_LOCATION_TYPE_DEVICE, {device}};
    access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    check_driver(set_access(start_, bytes_, &access, 1),
                 "give the device access to memory of another process");
  }
  void unmap() noexcept {
    static const auto unmap = driver_function<decltype(&cuMemUnmap)>("cuMemUnmap");
    static const auto free = driver_function<decltype(&cuMemAddressFree)>("cuMemAddressFree");
    // At the end of the process the driver may be gone, and the mapping with it.
    if (mapped_ != 0) static_cast<void>(unmap(start_, mapped_));
    static_cast<void>(free(start_, bytes_));
  }

  CUdeviceptr start_ = 0;
  std::size_t bytes_ = 0;
  std::size_t mapped_ = 0;
};

}  // namespace

ExportedBlock export_block(void* address, std::size_t bytes) {
  static auto* const exports = new Exports;  // memory is shared until the process ends
  const auto start = reinterpret_cast<CUdeviceptr>(address);
  std::vector<Chunk> chunks;
  ExportedBlock exported;
  for (CUdeviceptr at = start; at < start + bytes;) {
    const Mapping mapping = mapping_at(at);
    if (chunks.empty()) exported.offset = static_cast<std::ptrdiff_t>(start - mapping.start);
    chunks.push_back({exports->descriptor_of(mapping), mapping.bytes});
    at = mapping.start + mapping.bytes;
  }
  Header header{{}, getpid(), chunks.size()};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  exported.handle.assign(reinterpret_cast<const char*>(&header), sizeof header);
  exported.handle.append(reinterpret_cast<const char*>(chunks.data()), chunks.size() * sizeof(Chunk));
  return exported;
}

std::shared_ptr<void> import_block(const std::string& handle, int device) {
  static auto* const mutex = new std::mutex;  // protects the table
  static auto* const known = new std::unordered_map<std::string, std::weak_ptr<Imported>>;
  const std::lock_guard lock(*mutex);
  std::weak_ptr<Imported>& entry = (*known)[handle];
  std::shared_ptr<Imported> imported = entry.lock();
  if (imported == nullptr) {
    imported = std::make_shared<Imported>(handle, device);
    entry = imported;
  }
  std::erase_if(*known, [](const auto& one) { return one.second.expired(); });
  return {imported, imported->start()};
}

}  // namespace millrace_torch
