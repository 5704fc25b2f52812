#include "stats_csv.h"

#include <utility>

#include "csv.h"
#include "stats_flags.h"

namespace millrace::tool {
namespace {

std::vector<std::string> row_of(std::vector<std::string> names, const TensorEntry& tensor,
                                std::string channel, const Statistics& s, std::string flags) {
  const auto value = [&](double v) { return s.finite() > 0 ? csv_number(v) : std::string(); };
  return {std::move(names[0]),
          std::move(names[1]),
          std::string(to_string(tensor.dtype)),
          format_shape(tensor.shape),
          std::move(channel),
          std::to_string(s.count),
          value(s.sum),
          value(s.mean),
          value(standard_deviation(s)),
          value(s.min),
          value(s.max),
          value(s.absmax),
          std::to_string(s.nan),
          std::to_string(s.inf),
          std::to_string(s.zeros),
          std::move(flags)};
}

}  // namespace

void write_stats_csv(OutputFile& out, const std::vector<TensorFile>& files, const StatsResult& result,
                     std::optional<std::int64_t> channel_dim) {
  if (!out.wanted()) return;
  out.begin();
  out.write(csv_line({"file", "tensor", "dtype", "shape", "channel", "count", "sum", "mean", "std", "min",
                      "max", "absmax", "nan", "inf", "zeros", "flags"}));
  std::size_t index = 0;
  for (const TensorFile& file : files) {
    for (const TensorEntry& tensor : file.tensors) {
      const std::size_t i = index++;
      if (!result.tensors[i]) continue;
      const TensorStatistics& found = *result.tensors[i];
      const std::vector<std::string> names{csv_name(out, file.path), csv_name(out, tensor.name)};
      if (result.splits[i].kind != SplitKind::channels) {
        const std::string flags = tensor_flags_of(found, result.splits[i], channel_dim);
        out.write(csv_line(row_of(names, tensor, "", found.all, flags)));
      }
      for (std::size_t c = 0; c < found.channels.size(); ++c) {
        const Statistics& s = found.channels[c];
        out.write(csv_line(row_of(names, tensor, std::to_string(c), s, channel_flags_of(s))));
      }
    }
  }
  out.end();
}

}  // namespace millrace::tool
