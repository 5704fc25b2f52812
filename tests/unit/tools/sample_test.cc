// The sample checkpoint holds what it says was planted, and nothing else that is odd.
#include "sample.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include <gtest/gtest.h>

#include "formats/safetensors.h"
#include "half.h"

namespace millrace::tool {
namespace {

std::vector<float> values_of(const TensorData& tensor) {
  std::vector<float> values(tensor.bytes.size() / size_of(tensor.dtype));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::byte* const at = tensor.bytes.data() + i * size_of(tensor.dtype);
    std::uint16_t bits = 0;
    if (tensor.dtype == DType::f32) {
      std::memcpy(&values[i], at, sizeof(float));
    } else {
      std::memcpy(&bits, at, sizeof(bits));
      values[i] = tensor.dtype == DType::f16 ? from_f16(bits) : from_bf16(bits);
    }
  }
  return values;
}

TEST(Sample, HoldsWhatWasPlanted) {
  const Sample sample = make_sample(0);
  std::set<DType> dtypes;
  std::set<std::string> odd;
  for (const TensorData& tensor : sample.tensors) {
    dtypes.insert(tensor.dtype);
    const std::vector<float> values = values_of(tensor);
    const auto count = [&](auto is) { return std::ranges::count_if(values, is); };
    const auto nan = count([](float v) { return std::isnan(v); });
    const auto inf = count([](float v) { return std::isinf(v); });
    const auto zeros = count([](float v) { return v == 0; });
    if (nan > 0 || inf > 0 || zeros > static_cast<std::ptrdiff_t>(values.size()) / 100)
      odd.insert(tensor.name);
    const auto size = static_cast<std::ptrdiff_t>(values.size());
    EXPECT_EQ(nan, tensor.name == "layers.1.attention.qkv.weight" ? 3 : 0) << tensor.name;
    EXPECT_EQ(inf, tensor.name == "layers.2.mlp.up.weight" ? 2 : 0) << tensor.name;
    EXPECT_GE(zeros, tensor.name == "layers.3.mlp.down.weight" ? 8 * 1024 : 0) << tensor.name;
    EXPECT_GE(zeros, tensor.name == "layers.4.mlp.up.bias" ? size : 0) << tensor.name;
    if (nan > 0 || inf > 0 || zeros > size / 100) odd.insert(tensor.name);
  }
  EXPECT_EQ(dtypes, (std::set<DType>{DType::f32, DType::f16, DType::bf16}));
  std::set<std::string> planted;
  for (const Sample::Planted& p : sample.planted) planted.insert(p.tensor);
  EXPECT_EQ(odd, planted);
}

TEST(Sample, IsAFileThatTheReaderTakes) {
  const Sample sample = make_sample(1);
  const std::vector<std::byte> file = to_safetensors(sample.tensors);
  const std::vector<TensorEntry> entries = parse_safetensors(file, "sample");
  ASSERT_EQ(entries.size(), sample.tensors.size());
  for (std::size_t i = 0; i < entries.size(); ++i) EXPECT_EQ(entries[i].name, sample.tensors[i].name);
}

}  // namespace
}  // namespace millrace::tool
