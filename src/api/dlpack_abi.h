// The structs by which libraries hand each other tensors: DLPack 1.0, and what was before it.
//
// Names, order and types of the members are the standard's. They are declared here and in no public header:
// so nobody needs DLPack's own header to build this, and whoever has it finds no second declaration.
#pragma once

#include <cstdint>

struct DLPackVersion {
  std::uint32_t major, minor;
};

struct DLDevice {
  std::int32_t device_type, device_id;
};

struct DLDataType {
  std::uint8_t code, bits;
  std::uint16_t lanes;
};

struct DLTensor {
  void* data;  // null if there is no element
  DLDevice device;
  std::int32_t ndim;
  DLDataType dtype;
  std::int64_t* shape;
  std::int64_t* strides;  // in elements; null: row-major, which only older producers leave out
  std::uint64_t byte_offset;
};

struct DLManagedTensor {
  DLTensor dl_tensor;
  void* manager_ctx;
  void (*deleter)(DLManagedTensor*);  // may be null
};

struct DLManagedTensorVersioned {
  DLPackVersion version;  // what follows flags is only as below if major is ours
  void* manager_ctx;
  void (*deleter)(DLManagedTensorVersioned*);
  std::uint64_t flags;
  DLTensor dl_tensor;
};

static_assert(sizeof(DLTensor) == 48 && sizeof(DLManagedTensor) == 64 &&
                  sizeof(DLManagedTensorVersioned) == 80,
              "other libraries read these");

namespace millrace::dlpack {

inline constexpr DLPackVersion kVersion{1, 0};
inline constexpr std::uint64_t kReadOnly = 1;

// device_type
inline constexpr std::int32_t kCpu = 1, kCuda = 2, kCudaHost = 3, kCudaManaged = 13;

// code
inline constexpr std::uint8_t kInt = 0, kUInt = 1, kFloat = 2, kBfloat = 4, kComplex = 5, kBool = 6;

}  // namespace millrace::dlpack
