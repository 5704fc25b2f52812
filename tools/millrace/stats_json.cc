#include "stats_json.h"

#include <string>
#include <utility>

#include <fmt/format.h>

#include "json_output.h"
#include "stats_flags.h"

namespace millrace::tool {
namespace {

using Json = nlohmann::ordered_json;

void add_statistics(Json& row, const Statistics& s) {
  const auto value = [&](double v) { return s.finite() > 0 ? Json(v) : Json(nullptr); };
  row["count"] = s.count;
  row["sum"] = value(s.sum);
  row["mean"] = value(s.mean);
  row["m2"] = value(s.m2);
  row["std"] = value(standard_deviation(s));
  row["min"] = value(s.min);
  row["max"] = value(s.max);
  row["absmax"] = value(s.absmax);
  row["nan"] = s.nan;
  row["inf"] = s.inf;
  row["zeros"] = s.zeros;
}

/// Tensors can have millions of channels: they are written one by one.
void write_channels(OutputFile& out, const std::vector<Statistics>& channels) {
  out.write(", \"channels\": [");
  const char* separator = "\n      ";
  for (const Statistics& s : channels) {
    Json row;
    add_statistics(row, s);
    out.write(separator + json_text(row));
    separator = ",\n      ";
  }
  out.write("]");
}

void write_row(OutputFile& out, const TensorFile& file, const TensorEntry& tensor,
               const TensorStatistics& found, const Split& split, std::optional<std::int64_t> channel_dim) {
  Json row = {{"file", file.path},
              {"name", tensor.name},
              {"dtype", to_string(tensor.dtype)},
              {"shape", tensor.shape}};
  add_statistics(row, found.all);
  if (split.kind == SplitKind::channels) {
    row["channel_dim"] = *channel_dim;
    row["dead"] = indices_of(found.channels, is_dead);
    row["constant"] = indices_of(found.channels, is_constant);
  } else if (channel_dim) {
    row["channel_dim"] = nullptr;
    row["not_split"] = not_split_reason(split, channel_dim);
  }
  std::string text = json_text(row);
  text.pop_back();  // the closing brace, which follows the channels
  out.write("    " + text);
  if (split.kind == SplitKind::channels) write_channels(out, found.channels);
  out.write("}");
}

Json describe(const std::vector<TensorFile>& files) {
  Json list = Json::array();
  for (const TensorFile& file : files) {
    list.push_back(
        {{"path", file.path}, {"size", file.identity.size}, {"modified_ns", file.identity.modified_ns}});
  }
  return list;
}

}  // namespace

void write_stats_json(OutputFile& out, const std::vector<TensorFile>& files, const StatsResult& result,
                      std::optional<std::int64_t> channel_dim, const Device& device) {
  if (!out.wanted()) return;
  out.begin();
  out.write("{\n  \"tensors\": [");
  const char* separator = "\n";
  std::size_t index = 0;
  for (const TensorFile& file : files) {
    for (const TensorEntry& tensor : file.tensors) {
      const std::size_t i = index++;
      if (!result.tensors[i]) continue;
      out.write(separator);
      write_row(out, file, tensor, *result.tensors[i], result.splits[i], channel_dim);
      separator = ",\n";
    }
  }
  const MemoryStats memory = device.memory();
  Json run = {{"device", device.info().name},
              {"threads", result.threads},
              {"seconds", result.seconds},
              {"bytes", result.bytes},
              {"gb_per_s", gigabytes_per_second(result)},
              {"peak_committed_bytes", memory.peak_committed},
              {"memory_limit", memory.limit},
              {"peak_pinned_bytes", device.memory(MemoryKind::pinned).peak_committed},
              {"files", describe(files)}};
  if (channel_dim) run["channel_dim"] = *channel_dim;
  if (result.interrupted) run["partial"] = true;
  out.write("\n  ],\n  \"run\": " + json_text(run) + "\n}\n");
  out.end();
}

}  // namespace millrace::tool
