// Writes .safetensors files: for the sample checkpoint and for tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <millrace/dtype.h>

#include "formats/tensor_file.h"

namespace millrace::tool {

struct TensorData {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> bytes;
};

/// What stands before the tensors' bytes: the length of the header and the header, padded to eight bytes.
/// The tensors' bytes follow in this order without a hole; offset is not looked at.
std::vector<std::byte> safetensors_header(const std::vector<TensorEntry>& tensors);

/// The whole file as bytes: the tensors in the order given.
/// Every bytes must be as long as its shape says.
std::vector<std::byte> to_safetensors(const std::vector<TensorData>& tensors);

/// Throws Error, InvalidArgument, when the file can't be written.
void write_file(const std::string& path, const std::vector<std::byte>& bytes);

}  // namespace millrace::tool
