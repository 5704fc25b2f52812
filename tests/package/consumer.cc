// A user's smallest program: memory, work, an answer, a caught error.
#include <cstdio>

#include <millrace/millrace.h>

int main() {
  millrace::Device device = millrace::Device::open("host");
  constexpr std::int64_t kCount = 1000;
  millrace::Buffer input = device.buffer(kCount * sizeof(float));
  millrace::Buffer output = device.buffer(sizeof(float));
  for (std::int64_t i = 0; i < kCount; ++i) input.as<float>()[i] = 1.0F;

  const millrace::Stream stream = device.stream();
  millrace::reduce(stream, millrace::ReduceOp::sum,
                   millrace::contiguous(input.data(), millrace::DType::f32, {kCount}),
                   millrace::contiguous(output.data(), millrace::DType::f32, {}));
  millrace::Stream(stream).wait();
  const float sum = *output.as<float>();

  bool refused = false;
  try {
    millrace::Device::open("no-such-device");
  } catch (const millrace::Error& error) {
    refused = error.code() == millrace::ErrorCode::InvalidArgument;
  }
  std::printf("millrace %s: sum %g, refused %d\n", millrace::kVersion.data(), static_cast<double>(sum),
              refused);
  return sum == static_cast<float>(kCount) && refused ? 0 : 1;
}
