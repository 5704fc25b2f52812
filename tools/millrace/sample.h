// A small checkpoint to try the program on: a transformer's tensors with things wrong on purpose.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "formats/safetensors_writer.h"

namespace millrace::tool {

struct Sample {
  struct Planted {
    std::string tensor;
    std::string what;
  };
  std::vector<TensorData> tensors;  ///< in bf16, f16 and f32
  std::vector<Planted> planted;
};

/// The same for the same seed, on every machine.
Sample make_sample(std::uint64_t seed);

/// Writes it as .safetensors and prints what it is and what was planted.
void write_sample(const std::string& path, std::uint64_t seed);

}  // namespace millrace::tool
