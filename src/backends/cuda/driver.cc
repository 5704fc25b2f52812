#include "backends/cuda/driver.h"

#include <cuda_runtime_api.h>

#include <utility>

#include "sync/atomic.h"

namespace millrace::cuda {
namespace {

struct Found {
  Driver driver;
  std::string absence;  // empty: the driver is there
};

std::string look_for(const char* symbol, unsigned version, void** function) {
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
  const cudaError_t error =
      cudaGetDriverEntryPointByVersion(symbol, function, version, cudaEnableDefault, &found);
  if (error == cudaSuccess && found == cudaDriverEntryPointSuccess && *function != nullptr) return {};
  (void)cudaGetLastError();
  if (error == cudaErrorInsufficientDriver || error == cudaErrorInitializationError ||
      error == cudaErrorNoDevice) {
    int driver_version = 0;
    if (cudaDriverGetVersion(&driver_version) == cudaSuccess && driver_version == 0)
      return "no NVIDIA driver is installed (libcuda.so.1 was not found)";
  }
  if (error != cudaSuccess)
    return std::string("the NVIDIA driver can't be used: ") + cudaGetErrorString(error);
  return std::string("the NVIDIA driver is too old: it has no ") + symbol;
}

Found find() {
  Found found;
  const auto get = [&](auto& member, const char* symbol, unsigned version) {
    if (!found.absence.empty()) return;
    void* function = nullptr;
    found.absence = look_for(symbol, version, &function);
    member = reinterpret_cast<std::remove_reference_t<decltype(member)>>(function);
  };
#define MILLRACE_CUDA_GET(member, symbol, version) get(found.driver.member, #symbol, version);
  MILLRACE_CUDA_DRIVER_FUNCTIONS(MILLRACE_CUDA_GET)
#undef MILLRACE_CUDA_GET
  if (!found.absence.empty()) return found;
  const CUresult started = found.driver.init(0);
  if (started == CUDA_ERROR_NO_DEVICE) {
    found.absence = "there is an NVIDIA driver, but no device that it can use";
  } else if (started != CUDA_SUCCESS) {
    const char* text = "unknown error";
    (void)found.driver.error_string(started, &text);
    found.absence = std::string("the NVIDIA driver did not start: ") + text;
  }
  return found;
}

// Never destroyed: static destructors of other units may still close devices.
const Found& found() {
  static const Found* const once = new Found(find());
  return *once;
}

constinit sync::atomic<const Driver*> replacement{nullptr};

}  // namespace

const Driver* find_driver() noexcept {
  // acquire: pairs with the release in replace_driver.
  if (const Driver* const stand_in = replacement.load(std::memory_order_acquire)) return stand_in;
  return found().absence.empty() ? &found().driver : nullptr;
}

std::string why_no_driver() {
  return find_driver() != nullptr ? std::string() : found().absence;
}

const Driver& driver() noexcept {
  const Driver* const stand_in = replacement.load(std::memory_order_acquire);  // as in find_driver
  return stand_in != nullptr ? *stand_in : found().driver;
}

void replace_driver(const Driver& stand_in) noexcept {
  replacement.store(&stand_in, std::memory_order_release);  // pairs with the acquire in find_driver
}

std::string describe(CUresult result) {
  const char* name = nullptr;
  const char* text = nullptr;
  if (driver().error_name(result, &name) != CUDA_SUCCESS || name == nullptr)
    return "CUDA error " + std::to_string(static_cast<int>(result));
  (void)driver().error_string(result, &text);
  return std::string(name) + " (" + (text == nullptr ? "no description" : text) + ")";
}

bool is_fatal(CUresult result) noexcept {
  switch (result) {
    case CUDA_ERROR_ILLEGAL_ADDRESS:
    case CUDA_ERROR_LAUNCH_FAILED:
    case CUDA_ERROR_LAUNCH_TIMEOUT:
    case CUDA_ERROR_HARDWARE_STACK_ERROR:
    case CUDA_ERROR_ILLEGAL_INSTRUCTION:
    case CUDA_ERROR_MISALIGNED_ADDRESS:
    case CUDA_ERROR_INVALID_ADDRESS_SPACE:
    case CUDA_ERROR_INVALID_PC:
    case CUDA_ERROR_ASSERT:
    case CUDA_ERROR_ECC_UNCORRECTABLE:
    case CUDA_ERROR_NVLINK_UNCORRECTABLE:
    case CUDA_ERROR_CONTAINED:
    case CUDA_ERROR_CONTEXT_IS_DESTROYED:
    case CUDA_ERROR_DEINITIALIZED:
    case CUDA_ERROR_DEVICE_UNAVAILABLE:
    case CUDA_ERROR_TENSOR_MEMORY_LEAK:
    case CUDA_ERROR_SYSTEM_NOT_READY:
    case CUDA_ERROR_UNKNOWN: return true;
    default: return false;
  }
}

Status status_of(CUresult result, const std::string& asked, const std::string& device, int stream) {
  if (result == CUDA_SUCCESS) return {};
  const ErrorCode code = is_fatal(result)                     ? ErrorCode::DeviceLost
                         : result == CUDA_ERROR_OUT_OF_MEMORY ? ErrorCode::OutOfMemory
                         : result == CUDA_ERROR_INVALID_VALUE ? ErrorCode::InvalidArgument
                         : result == CUDA_ERROR_NOT_SUPPORTED ? ErrorCode::Unsupported
                                                              : ErrorCode::WorkFailed;
  return Status(code, asked + ": the driver answered " + describe(result),
                {.call = {}, .device = device, .stream = stream, .rule = {}});
}

ContextScope::ContextScope(CUcontext context) noexcept {
  CUcontext current = nullptr;
  result_ = driver().context_current(&current);
  if (result_ != CUDA_SUCCESS || current == context) return;
  result_ = driver().context_push(context);
  pushed_ = result_ == CUDA_SUCCESS;
}

ContextScope::~ContextScope() {
  CUcontext popped = nullptr;
  if (pushed_) (void)driver().context_pop(&popped);
}

}  // namespace millrace::cuda
