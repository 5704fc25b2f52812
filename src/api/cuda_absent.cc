// What there is of the CUDA backend in a build without CUDA: its absence.
#include "backends/cuda/backend.h"

namespace millrace::cuda {

std::vector<DeviceInfo> available_devices() {
  return {};
}

std::string absence() {
  return "this build of Millrace has no CUDA backend (MILLRACE_CUDA was off, or nvcc was not found)";
}

std::string full_name(std::string_view /*name*/) {
  return {};
}

std::unique_ptr<Backend> make_backend(const std::string& name, const DeviceOptions& /*options*/) {
  throw Error(ErrorCode::InvalidArgument, "there is no device \"" + name + "\": " + absence());
}

}  // namespace millrace::cuda
