// millrace sample: a checkpoint to try the program on.
#include "sample.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "byte_size.h"
#include "command.h"
#include "formats/file_format_error.h"
#include "formats/tensor_file.h"
#include "half.h"
#include "random.h"

namespace millrace::tool {
namespace {

constexpr std::int64_t kVocabulary = 8192;
constexpr std::int64_t kWidth = 256;
constexpr std::int64_t kHidden = 4 * kWidth;
constexpr int kLayers = 6;
constexpr int kDeadChannels = 8;

/// Writes one element; only the types that a sample has.
void store(TensorData& tensor, std::size_t index, float value) {
  std::byte* const at = tensor.bytes.data() + index * size_of(tensor.dtype);
  if (tensor.dtype == DType::f32) {
    std::memcpy(at, &value, sizeof(value));
    return;
  }
  const std::uint16_t bits = tensor.dtype == DType::f16 ? to_f16(value) : to_bf16(value);
  std::memcpy(at, &bits, sizeof(bits));
}

class SampleMaker {
 public:
  explicit SampleMaker(std::uint64_t seed) : random_(seed) {}

  Sample make() {
    add("embeddings.weight", DType::bf16, {kVocabulary, kWidth}, 0.02);
    for (int layer = 0; layer < kLayers; ++layer) add_layer(fmt::format("layers.{}.", layer));
    add_norm("norm.");
    plant();
    return std::move(sample_);
  }

 private:
  TensorData& add(const std::string& name, DType dtype, std::vector<std::int64_t> shape, double deviation,
                  double mean = 0) {
    std::size_t count = 1;
    for (const std::int64_t size : shape) count *= static_cast<std::size_t>(size);
    TensorData tensor{name, dtype, std::move(shape), std::vector<std::byte>(count * size_of(dtype))};
    for (std::size_t i = 0; i < count; ++i) {
      store(tensor, i, static_cast<float>(mean + deviation * random_.normal()));
    }
    return sample_.tensors.emplace_back(std::move(tensor));
  }

  void add_norm(const std::string& prefix) {
    add(prefix + "weight", DType::f32, {kWidth}, 0.1, 1);
    add(prefix + "bias", DType::f32, {kWidth}, 0.01);
  }

  void add_layer(const std::string& prefix) {
    const double fan_in = 1 / std::sqrt(static_cast<double>(kWidth));
    add_norm(prefix + "attention_norm.");
    add(prefix + "attention.qkv.weight", DType::bf16, {3 * kWidth, kWidth}, fan_in);
    add(prefix + "attention.out.weight", DType::bf16, {kWidth, kWidth}, fan_in);
    add_norm(prefix + "mlp_norm.");
    add(prefix + "mlp.up.weight", DType::f16, {kHidden, kWidth}, fan_in);
    add(prefix + "mlp.up.bias", DType::f32, {kHidden}, 0.01);
    add(prefix + "mlp.down.weight", DType::f16, {kWidth, kHidden}, fan_in / 2);
  }

  TensorData& tensor(const std::string& name) {
    return *std::ranges::find(sample_.tensors, name, &TensorData::name);
  }

  void plant() {
    constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
    constexpr float kInf = std::numeric_limits<float>::infinity();
    TensorData& with_nan = tensor("layers.1.attention.qkv.weight");
    for (const std::size_t at : {std::size_t{777}, std::size_t{50'000}, std::size_t{123'456}}) {
      store(with_nan, at, kNaN);
    }
    sample_.planted.push_back({with_nan.name, "3 NaNs"});

    TensorData& with_inf = tensor("layers.2.mlp.up.weight");
    store(with_inf, 4'096, kInf);
    store(with_inf, 200'000, -kInf);
    sample_.planted.push_back({with_inf.name, "2 infinities, one of each sign"});

    TensorData& dead_channels = tensor("layers.3.mlp.down.weight");
    for (int channel = 0; channel < kDeadChannels; ++channel) {
      const auto row = static_cast<std::size_t>(channel * 31 * kHidden);
      for (std::size_t i = 0; i < static_cast<std::size_t>(kHidden); ++i) store(dead_channels, row + i, 0);
    }
    sample_.planted.push_back(
        {dead_channels.name, fmt::format("{} dead channels of {}", kDeadChannels, kWidth)});

    TensorData& dead = tensor("layers.4.mlp.up.bias");
    std::ranges::fill(dead.bytes, std::byte{0});
    sample_.planted.push_back({dead.name, "nothing but zeros"});
  }

  Random random_;
  Sample sample_;
};

}  // namespace

Sample make_sample(std::uint64_t seed) {
  return SampleMaker(seed).make();
}

void write_sample(const std::string& path, std::uint64_t seed) {
  const Sample sample = make_sample(seed);
  const std::vector<std::byte> bytes = to_safetensors(sample.tensors);
  write_file(path, bytes);
  fmt::print("{}: {} tensors of a small transformer in bf16, f16 and f32, {}, random values\n",
             printable(path, path.size()), sample.tensors.size(), format_byte_size(bytes.size()));
  fmt::print("planted in it:\n");
  for (const Sample::Planted& planted : sample.planted)
    fmt::print("  {:<32} {}\n", planted.tensor, planted.what);
}

Command sample_command(CLI::App& parent) {
  CLI::App* const app = parent.add_subcommand(
      "sample", "Write a small checkpoint with NaNs, infinities and dead channels planted in it");
  struct Request {
    std::string path;
    std::uint64_t seed = 0;
  };
  const auto request = std::make_shared<Request>();
  app->add_option("PATH", request->path, "The .safetensors file to write")->required();
  app->add_option("--seed", request->seed, "Other values")->capture_default_str();
  return {app, [request] {
            write_sample(request->path, request->seed);
            return kDone;
          }};
}

}  // namespace millrace::tool
