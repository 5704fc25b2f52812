#include <cmath>
#include <stdexcept>
#include <vector>

#include "model.h"

namespace millrace_torch::bench {
namespace {

struct Layer {
  at::Tensor in_weight, in_bias, out_weight, out_bias, up_weight, up_bias, down_weight, down_bias;
  at::Tensor norm1_weight, norm1_bias, norm2_weight, norm2_bias;
};

class Encoder final : public Model {
 public:
  explicit Encoder(const Shape& shape) : shape_(shape) {
    const at::TensorOptions on = halves();
    const std::int64_t width = shape.width, hidden = 4 * width;
    const auto weight = [&](std::int64_t to, std::int64_t from) { return at::randn({to, from}, on) * 0.02; };
    for (std::int64_t i = 0; i < shape.layers; ++i) {
      layers_.push_back({weight(3 * width, width), at::zeros({3 * width}, on), weight(width, width),
                         at::zeros({width}, on), weight(hidden, width), at::zeros({hidden}, on),
                         weight(width, hidden), at::zeros({width}, on), at::ones({width}, on),
                         at::zeros({width}, on), at::ones({width}, on), at::zeros({width}, on)});
    }
  }

  at::Tensor make_input() const override {
    return at::randn({shape_.batch, shape_.length, shape_.width}, halves());
  }

  at::Tensor infer(const at::Tensor& input) const override {
    at::Tensor x = input;
    for (const Layer& layer : layers_) {
      x = at::layer_norm(x + attention(layer, x), {shape_.width}, layer.norm1_weight, layer.norm1_bias);
      const at::Tensor up = at::gelu(at::linear(x, layer.up_weight, layer.up_bias));
      x = at::layer_norm(x + at::linear(up, layer.down_weight, layer.down_bias), {shape_.width},
                         layer.norm2_weight, layer.norm2_bias);
    }
    return x;
  }

 private:
  at::Tensor attention(const Layer& layer, const at::Tensor& x) const {
    const std::int64_t size = shape_.width / shape_.heads;
    const at::Tensor all = at::linear(x, layer.in_weight, layer.in_bias)
                               .view({shape_.batch, shape_.length, 3, shape_.heads, size})
                               .permute({2, 0, 3, 1, 4});
    const at::Tensor scores = at::matmul(all.select(0, 0), all.select(0, 1).transpose(-2, -1)) /
                              std::sqrt(static_cast<double>(size));
    const at::Tensor mixed = at::matmul(at::softmax(scores, -1), all.select(0, 2));
    return at::linear(mixed.transpose(1, 2).reshape({shape_.batch, shape_.length, shape_.width}),
                      layer.out_weight, layer.out_bias);
  }

  Shape shape_;
  std::vector<Layer> layers_;
};

}  // namespace

std::unique_ptr<Model> make_encoder(const Shape& shape) {
  if (shape.width % shape.heads != 0) {
    throw std::invalid_argument("--heads " + std::to_string(shape.heads) + " does not divide --width " +
                                std::to_string(shape.width));
  }
  return std::make_unique<Encoder>(shape);
}

}  // namespace millrace_torch::bench
