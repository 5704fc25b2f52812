#include "backends/cuda/devices.h"

#include <array>
#include <charconv>
#include <cstdio>

#include "backends/cuda/driver.h"

namespace millrace::cuda {
namespace {

int attribute(CUdevice device, CUdevice_attribute which) {
  int value = 0;
  return driver().device_attribute(&value, which, device) == CUDA_SUCCESS ? value : 0;
}

std::string text_of(const CUuuid& uuid) {
  std::string text = "GPU-";
  for (std::size_t i = 0; i < sizeof uuid.bytes; ++i) {
    std::array<char, 3> digits{};
    std::snprintf(digits.data(), digits.size(), "%02x", static_cast<unsigned char>(uuid.bytes[i]));
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += digits.data();
  }
  return text;
}

Properties describe_device(int index) {
  Properties properties;
  properties.index = index;
  if (driver().device(&properties.device, index) != CUDA_SUCCESS) return properties;
  std::array<char, 256> name{};
  if (driver().device_name(name.data(), static_cast<int>(name.size()), properties.device) == CUDA_SUCCESS)
    properties.name = name.data();
  CUuuid uuid{};
  if (driver().device_uuid(&uuid, properties.device) == CUDA_SUCCESS) properties.uuid = text_of(uuid);
  (void)driver().device_memory(&properties.memory_bytes, properties.device);
  const auto get = [&](CUdevice_attribute which) { return attribute(properties.device, which); };
  properties.multiprocessors = get(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
  properties.compute_major = get(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
  properties.compute_minor = get(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
  properties.virtual_memory = get(CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED) != 0;
  properties.shareable = get(CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED) != 0;
  properties.rdma_capable = get(CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WITH_CUDA_VMM_SUPPORTED) != 0;
  properties.host_addresses = get(CU_DEVICE_ATTRIBUTE_HOST_REGISTER_SUPPORTED) != 0 &&
                              get(CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM) != 0;
  return properties;
}

}  // namespace

std::vector<Properties> list_devices() {
  std::vector<Properties> devices;
  if (find_driver() == nullptr) return devices;
  int count = 0;
  if (driver().device_count(&count) != CUDA_SUCCESS) return devices;
  for (int index = 0; index < count; ++index) devices.push_back(describe_device(index));
  return devices;
}

std::string description_of(const Properties& properties) {
  int version = 0;
  (void)driver().driver_version(&version);
  return properties.name + ", compute " + std::to_string(properties.compute_major) + "." +
         std::to_string(properties.compute_minor) + ", " + std::to_string(properties.multiprocessors) +
         " multiprocessors, driver for CUDA " + std::to_string(version / 1000) + "." +
         std::to_string(version % 1000 / 10) + ", " + properties.uuid;
}

int find_device(std::string_view name, const std::vector<Properties>& devices) {
  constexpr std::string_view kPrefix = "cuda:";
  if (name == "cuda") return devices.empty() ? -1 : 0;
  if (!name.starts_with(kPrefix)) return -1;
  const std::string_view which = name.substr(kPrefix.size());
  constexpr std::string_view kUuid = "GPU-";
  if (which.starts_with(kUuid) && which.size() > kUuid.size()) {
    int found = -1;
    for (const Properties& properties : devices) {
      if (!std::string_view(properties.uuid).starts_with(which)) continue;
      if (found >= 0) return -1;  // it names several
      found = properties.index;
    }
    return found;
  }
  int index = -1;
  const auto [end, error] = std::from_chars(which.data(), which.data() + which.size(), index);
  const bool is_number = error == std::errc() && end == which.data() + which.size();
  return is_number && index >= 0 && index < static_cast<int>(devices.size()) ? index : -1;
}

CUresult hold_primary_context(CUdevice device, CUcontext* context) noexcept {
  // Each time anew, and never given back: somebody may have reset the device since.
  return driver().primary_context_retain(context, device);
}

}  // namespace millrace::cuda
