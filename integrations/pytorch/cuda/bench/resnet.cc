#include <vector>

#include "model.h"

namespace millrace_torch::bench {
namespace {

/// A convolution with the batch norm behind it.
struct Convolution {
  Convolution(std::int64_t from, std::int64_t to, std::int64_t size, std::int64_t step)
      : weight(at::randn({to, from, size, size}, halves()) * (1.0 / static_cast<double>(size * size))),
        gain(at::ones({to}, halves())),
        bias(at::zeros({to}, halves())),
        mean(at::zeros({to}, halves())),
        variance(at::ones({to}, halves()) * static_cast<double>(from)),
        stride(step),
        padding(size / 2) {}

  at::Tensor operator()(const at::Tensor& x) const {
    const at::Tensor y = at::conv2d(x, weight, {}, {stride, stride}, {padding, padding});
    return at::batch_norm(y, gain, bias, mean, variance, false, 0.1, 1e-5, true);
  }

  at::Tensor weight, gain, bias, mean, variance;
  std::int64_t stride, padding;
};

struct Bottleneck {
  Bottleneck(std::int64_t from, std::int64_t inner, std::int64_t stride)
      : first(from, inner, 1, 1), second(inner, inner, 3, stride), third(inner, 4 * inner, 1, 1) {
    if (stride != 1 || from != 4 * inner) past.emplace_back(from, 4 * inner, 1, stride);
  }

  at::Tensor operator()(const at::Tensor& x) const {
    at::Tensor y = first(x).relu_();
    y = second(y).relu_();
    y = third(y);
    return y.add_(past.empty() ? x : past.front()(x)).relu_();
  }

  Convolution first, second, third;
  std::vector<Convolution> past;  // at most one
};

class ResNet50 final : public Model {
 public:
  explicit ResNet50(const Shape& shape) : batch_(shape.batch), stem_(3, 64, 7, 2) {
    struct Stage {
      std::int64_t inner, blocks, stride;
    };
    std::int64_t from = 64;
    for (const Stage& stage : {Stage{64, 3, 1}, Stage{128, 4, 2}, Stage{256, 6, 2}, Stage{512, 3, 2}}) {
      for (std::int64_t i = 0; i < stage.blocks; ++i) {
        blocks_.emplace_back(from, stage.inner, i == 0 ? stage.stride : 1);
        from = 4 * stage.inner;
      }
    }
    classes_ = at::randn({1000, from}, halves()) * 0.02;
  }

  at::Tensor make_input() const override { return at::randn({batch_, 3, 224, 224}, halves()); }

  at::Tensor infer(const at::Tensor& input) const override {
    at::Tensor x = at::max_pool2d(stem_(input).relu_(), {3, 3}, {2, 2}, {1, 1});
    for (const Bottleneck& block : blocks_) x = block(x);
    return at::linear(x.mean({2, 3}), classes_);
  }

 private:
  std::int64_t batch_;
  Convolution stem_;
  std::vector<Bottleneck> blocks_;
  at::Tensor classes_;
};

}  // namespace

std::unique_ptr<Model> make_resnet50(const Shape& shape) {
  return std::make_unique<ResNet50>(shape);
}

}  // namespace millrace_torch::bench
