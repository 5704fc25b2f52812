#include "stats_report.h"

#include <algorithm>
#include <string>

#include <fmt/format.h>

#include "byte_size.h"
#include "formats/file_format_error.h"
#include "table.h"

namespace millrace::tool {
namespace {

/// Calls visit(file, tensor, statistics) for each tensor that was done.
template <typename Visit>
void for_each_done(const std::vector<TensorFile>& files, const StatsResult& result, Visit visit) {
  std::size_t index = 0;
  for (const TensorFile& file : files) {
    for (const TensorEntry& tensor : file.tensors) {
      const auto& statistics = result.tensors[index++];
      if (statistics) visit(file, tensor, *statistics);
    }
  }
}

std::string flags_of(const Statistics& s) {
  std::string flags;
  const auto add = [&](const std::string& flag) { flags += flags.empty() ? flag : ", " + flag; };
  if (s.nan > 0) add(fmt::format("NaN {}", format_count(static_cast<std::uint64_t>(s.nan))));
  if (s.inf > 0) add(fmt::format("inf {}", format_count(static_cast<std::uint64_t>(s.inf))));
  if (s.count > 0 && s.zeros == s.count) add("all-zero");
  return flags;
}

std::string zeros_of(const Statistics& s) {
  if (s.count == 0) return "-";
  const double percent = 100 * static_cast<double>(s.zeros) / static_cast<double>(s.count);
  if (s.zeros == 0) return "0";
  return percent < 0.1 ? "<0.1%" : fmt::format("{:.1f}%", percent);
}

double gigabytes_per_second(const StatsResult& result) {
  return result.seconds > 0 ? static_cast<double>(result.bytes) / 1e9 / result.seconds : 0;
}

Table empty_table(const char* first) {
  return Table({{first},
                {"dtype"},
                {"shape"},
                {"mean", Align::right},
                {"std", Align::right},
                {"min", Align::right},
                {"max", Align::right},
                {"zeros", Align::right},
                {"flags", Align::left, true}});
}

void add_row(Table& table, const std::string& name, const TensorEntry& tensor, const Statistics& s) {
  const auto value = [&](double v) { return s.finite() > 0 ? fmt::format("{:.4g}", v) : std::string("-"); };
  table.add({name, std::string(to_string(tensor.dtype)), format_shape(tensor.shape), value(s.mean),
             value(standard_deviation(s)), value(s.min), value(s.max), zeros_of(s), flags_of(s)});
}

/// Several files of one tensor each (a folder of .npy) make one table; others one a file.
void print_tables(std::FILE* out, const std::vector<TensorFile>& files, const StatsResult& result) {
  const auto path_of = [](const TensorFile& file) { return printable(file.path, file.path.size()); };
  if (std::ranges::all_of(files, [](const TensorFile& file) { return file.tensors.size() == 1; })) {
    Table table = empty_table(files.size() == 1 ? "tensor" : "file");
    for_each_done(files, result, [&](const TensorFile& file, const TensorEntry& tensor, const Statistics& s) {
      add_row(table, files.size() == 1 ? printable(tensor.name) : path_of(file), tensor, s);
    });
    table.print(out);
    return;
  }
  std::size_t index = 0;
  for (const TensorFile& file : files) {
    Table table = empty_table("tensor");
    for (const TensorEntry& tensor : file.tensors) {
      const auto& statistics = result.tensors[index++];
      if (statistics) add_row(table, printable(tensor.name), tensor, *statistics);
    }
    if (table.rows() == 0) continue;
    if (files.size() > 1) fmt::print(out, "{}\n", path_of(file));
    table.print(out);
    if (files.size() > 1) fmt::print(out, "\n");
  }
}

}  // namespace

nlohmann::ordered_json stats_json(const std::vector<TensorFile>& files, const StatsResult& result,
                                  const Device& device) {
  nlohmann::ordered_json tensors = nlohmann::ordered_json::array();
  for_each_done(files, result, [&](const TensorFile& file, const TensorEntry& tensor, const Statistics& s) {
    const auto value = [&](double v) {
      return s.finite() > 0 ? nlohmann::ordered_json(v) : nlohmann::ordered_json(nullptr);
    };
    tensors.push_back({{"file", file.path},
                       {"name", tensor.name},
                       {"dtype", to_string(tensor.dtype)},
                       {"shape", tensor.shape},
                       {"count", s.count},
                       {"sum", value(s.sum)},
                       {"mean", value(s.mean)},
                       {"std", value(standard_deviation(s))},
                       {"min", value(s.min)},
                       {"max", value(s.max)},
                       {"absmax", value(s.absmax)},
                       {"nan", s.nan},
                       {"inf", s.inf},
                       {"zeros", s.zeros}});
  });
  const MemoryStats memory = device.memory();
  nlohmann::ordered_json run = {{"device", device.info().name},
                                {"threads", result.threads},
                                {"seconds", result.seconds},
                                {"bytes", result.bytes},
                                {"gb_per_s", gigabytes_per_second(result)},
                                {"peak_committed_bytes", memory.peak_committed},
                                {"memory_limit", memory.limit}};
  if (result.interrupted) run["partial"] = true;
  return {{"tensors", std::move(tensors)}, {"run", std::move(run)}};
}

void print_stats(std::FILE* out, const std::vector<TensorFile>& files, const StatsResult& result,
                 const Device& device) {
  print_tables(out, files, result);
  std::size_t rows = 0;
  std::uint64_t elements = 0;
  std::size_t with_nan = 0;
  std::size_t with_inf = 0;
  std::size_t all_zero = 0;
  for_each_done(files, result, [&](const TensorFile&, const TensorEntry&, const Statistics& s) {
    ++rows;
    elements += static_cast<std::uint64_t>(s.count);
    if (s.nan > 0) ++with_nan;
    if (s.inf > 0) ++with_inf;
    if (s.count > 0 && s.zeros == s.count) ++all_zero;
  });
  const MemoryStats memory = device.memory();
  fmt::print(out, "{} tensors, {} elements; with NaN: {}, with inf: {}, all zero: {}\n", rows,
             format_count(elements), with_nan, with_inf, all_zero);
  fmt::print(out, "{} in {:.2f}s ({:.2f} GB/s), {} threads on {}, device memory {} of {}\n",
             format_byte_size(result.bytes), result.seconds, gigabytes_per_second(result), result.threads,
             device.info().name, format_byte_size(memory.peak_committed), format_byte_size(memory.limit));
  if (result.interrupted) {
    fmt::print(out, "partial: interrupted after {} of {} tensors\n", rows, result.tensors.size());
  }
}

}  // namespace millrace::tool
