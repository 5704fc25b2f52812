#include "backends/cuda/ranges.h"

#include <nvtx3/nvToolsExt.h>

namespace millrace::cuda {
namespace {

nvtxDomainHandle_t domain() noexcept {
  static const nvtxDomainHandle_t once = nvtxDomainCreateA("millrace");  // lasts as long as the process
  return once;
}

}  // namespace

void Range::push(const char* name) noexcept {
  nvtxEventAttributes_t attributes{};
  attributes.version = NVTX_VERSION;
  attributes.size = NVTX_EVENT_ATTRIB_STRUCT_SIZE;
  attributes.messageType = NVTX_MESSAGE_TYPE_ASCII;
  attributes.message.ascii = name;
  (void)nvtxDomainRangePushEx(domain(), &attributes);
}

void Range::pop() noexcept {
  (void)nvtxDomainRangePop(domain());
}

}  // namespace millrace::cuda
