#include "device/context.h"

#include "device/core.h"

namespace millrace {

Context::Context(sync::Ref<Core> core, std::uint64_t thread) : thread_(thread), core_(std::move(core)) {}
Context::~Context() = default;

void Context::retire_parts() noexcept {
  for (std::size_t i = kLayerCount; i-- > 0;) {
    if (parts_[i]) parts_[i]->retire();
  }
}

void Context::fold_parts() noexcept {
  for (auto& part : parts_) {
    if (part) part->fold();
  }
}

}  // namespace millrace
