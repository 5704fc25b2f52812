#include <c10/cuda/CUDAStream.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>

#include "model.h"

namespace millrace_torch::bench {
namespace {

class Package final : public Model {
 public:
  Package(const std::string& file, const Shape& shape, int threads)
      : shape_(shape), loader_(file, "model", false, static_cast<std::size_t>(threads), 0) {}

  at::Tensor make_input() const override {
    return at::randint(30522, {shape_.batch, shape_.length},
                       at::TensorOptions().device(at::kCUDA).dtype(at::kLong));
  }

  at::Tensor infer(const at::Tensor& input) const override {
    return loader_.run({input}, c10::cuda::getCurrentCUDAStream().stream()).at(0);
  }

 private:
  Shape shape_;
  mutable torch::inductor::AOTIModelPackageLoader loader_;  // hands one of its runners to each call
};

}  // namespace

std::unique_ptr<Model> open_package(const std::string& file, const Shape& shape, int threads) {
  return std::make_unique<Package>(file, shape, threads);
}

}  // namespace millrace_torch::bench
