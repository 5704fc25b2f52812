// The models that the bench runs, in ATen's operators, as libtorch's users have them.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <string>

namespace millrace_torch::bench {

/// What an encoder is made of, and what one inference gets; of a ResNet and a package only batch is looked at.
struct Shape {
  std::int64_t layers = 6, width = 384, heads = 12, batch = 1, length = 32;
};

/// What the models are made of: f16 on the current device.
inline at::TensorOptions halves() {
  return at::TensorOptions().device(at::kCUDA).dtype(at::kHalf);
}

/// In halves. Thread safety: infer from any thread, on the stream that is current there.
class Model {
 public:
  virtual ~Model() = default;
  /// Random values of what infer takes.
  virtual at::Tensor make_input() const = 0;
  virtual at::Tensor infer(const at::Tensor& input) const = 0;
};

/// A transformer's encoder, eager. Throws std::invalid_argument where heads don't divide the width.
std::unique_ptr<Model> make_encoder(const Shape& shape);
/// ResNet-50 that does not train, eager, on pictures of 224 x 224.
std::unique_ptr<Model> make_resnet50(const Shape& shape);
/// The encoder that checks/package.py compiled ahead of time with AOTInductor, for as many threads at once.
/// Throws what torch does where the file is none.
std::unique_ptr<Model> open_package(const std::string& file, const Shape& shape, int threads);

}  // namespace millrace_torch::bench
