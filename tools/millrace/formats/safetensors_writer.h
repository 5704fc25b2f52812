// Writes .safetensors files: for the sample checkpoint and for tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <millrace/dtype.h>

namespace millrace::tool {

struct TensorData {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> bytes;
};

/// The whole file as bytes: the tensors in the order given, the header padded to eight bytes.
/// Every bytes must be as long as its shape says.
std::vector<std::byte> to_safetensors(const std::vector<TensorData>& tensors);

/// Throws Error, InvalidArgument, when the file can't be written.
void write_file(const std::string& path, const std::vector<std::byte>& bytes);

}  // namespace millrace::tool
