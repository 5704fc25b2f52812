#include "device/generator.h"

#include <ATen/CPUGeneratorImpl.h>
#include <c10/util/Exception.h>

#include <array>
#include <memory>
#include <mutex>
#include <utility>

#include "device/devices.h"

namespace millrace_torch {
namespace {

/// Draws what a generator of the CPU's with the same seed would, in the order in which operators run. Setting
/// a seed or a state begins another generator behind this one, since operators that were recorded before may
/// still have to draw.
///
/// Thread safety: any thread.
class Generator final : public c10::GeneratorImpl {
 public:
  explicit Generator(c10::DeviceIndex index)
      : c10::GeneratorImpl(c10::Device(kMillrace, index), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1)),
        behind_(at::detail::createCPUGenerator()) {}

  void set_current_seed(std::uint64_t seed) override { replace(at::detail::createCPUGenerator(seed)); }
  void set_offset(std::uint64_t) override {
    TORCH_CHECK(false, "the generator of millrace has no offset; use set_state");
  }
  std::uint64_t get_offset() const override {
    TORCH_CHECK(false, "the generator of millrace has no offset; use get_state");
  }
  std::uint64_t current_seed() const override { return behind().current_seed(); }
  std::uint64_t seed() override {
    const std::uint64_t seed = c10::detail::getNonDeterministicRandom();
    set_current_seed(seed);
    return seed;
  }
  void set_state(const c10::TensorImpl& state) override {
    at::Generator made = at::detail::createCPUGenerator();
    made.unsafeGetGeneratorImpl()->set_state(state);
    replace(std::move(made));
  }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override {
    // What was recorded before draws first.
    if (is_open(device().index())) synchronize(device().index());
    at::Generator now = behind();
    const std::lock_guard lock(now.mutex());
    return now.unsafeGetGeneratorImpl()->get_state();
  }

  at::Generator behind() const {
    const std::lock_guard lock(behind_mutex_);
    return behind_;
  }

 private:
  Generator* clone_impl() const override {
    auto* const clone = new Generator(device().index());
    clone->set_state(*get_state());
    return clone;
  }
  void replace(at::Generator made) {
    const std::lock_guard lock(behind_mutex_);
    behind_ = std::move(made);
  }

  mutable std::mutex behind_mutex_;
  at::Generator behind_;  // protected by behind_mutex_
};

}  // namespace

const at::Generator& default_generator(c10::DeviceIndex index) {
  if (index < 0) index = current_device();
  check_index(index);
  static auto* const all = new std::array<at::Generator, 16>;
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  at::Generator& generator = (*all)[static_cast<std::size_t>(index)];
  if (!generator.defined()) {
    generator = new_generator(index);
    generator.seed();
  }
  return generator;
}

at::Generator new_generator(c10::DeviceIndex index) {
  return at::make_generator<Generator>(index < 0 ? current_device() : index);
}

at::Generator generator_for_operator(const std::optional<at::Generator>& given, c10::DeviceIndex index) {
  const at::Generator& generator = given && given->defined() ? *given : default_generator(index);
  TORCH_CHECK(generator.device().type() == kMillrace,
              "Expected a 'millrace' device type for generator but found '", generator.device().type(), "'");
  return static_cast<const Generator*>(generator.unsafeGetGeneratorImpl())->behind();
}

}  // namespace millrace_torch
