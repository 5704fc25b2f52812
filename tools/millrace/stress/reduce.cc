#include <vector>

#include <millrace/reduce.h>

#include "stress/kinds.h"
#include "stress/reference.h"

namespace millrace::tool {

std::uint64_t stress_reduce(const StressOptions& options, Findings& findings) {
  Device device = stress_device(options);
  const std::uint64_t done = for_each_iteration(options, findings, [&](std::uint64_t index, Random& random) {
    const ReduceCase c = random_reduce_case(random);
    const Dims output_shape = c.output_shape();
    std::vector<std::byte> output(static_cast<std::size_t>(element_count(output_shape)) *
                                  size_of(c.output_dtype()));
    Stream stream = device.stream();
    const Settled settled(stream);
    Buffer in = device.buffer(c.input.size());
    Buffer out = device.buffer(output.size());
    stream.copy(in.data(), c.input.data(), c.input.size());
    reduce(stream, c.op, {in.data(), c.dtype, c.shape, c.strides},
           contiguous(out.data(), c.output_dtype(), output_shape), c.dims);
    stream.copy(output.data(), out.data(), output.size());
    if (random.one_in(2)) {
      // Freed before the work has even been committed: the stream's order keeps them until it is done.
      in.reset();
      out.reset();
    }
    stream.wait();
    if (const auto difference = compare_with_reference(c, output)) {
      findings.error("iteration " + std::to_string(index) + ": " + *difference);
    }
  });
  check_device_at_rest(device, findings);
  return done;
}

}  // namespace millrace::tool
