#include "stats_report.h"

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "byte_size.h"
#include "formats/file_format_error.h"
#include "stats_flags.h"
#include "table.h"

namespace millrace::tool {
namespace {

std::string zeros_of(const Statistics& s) {
  if (s.count == 0) return "-";
  const double percent = 100 * static_cast<double>(s.zeros) / static_cast<double>(s.count);
  if (s.zeros == 0) return "0";
  return percent < 0.1 ? "<0.1%" : fmt::format("{:.1f}%", percent);
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

void add_row(Table& table, std::vector<std::string> names, const Statistics& s, std::string flags) {
  const auto value = [&](double v) { return s.finite() > 0 ? fmt::format("{:.4g}", v) : std::string("-"); };
  table.add({std::move(names[0]), std::move(names[1]), std::move(names[2]), value(s.mean),
             value(standard_deviation(s)), value(s.min), value(s.max), zeros_of(s), std::move(flags)});
}

/// What is printed, and what of it has been.
class Report {
 public:
  Report(std::FILE* out, const std::vector<TensorFile>& files, const StatsResult& result,
         std::optional<std::int64_t> channel_dim)
      : out_(out), files_(files), result_(result), channel_dim_(channel_dim) {}

  /// Several files of one tensor each (a folder of .npy) make one table; others one a file.
  void print_tables() {
    std::size_t index = 0;
    if (std::ranges::all_of(files_, [](const TensorFile& file) { return file.tensors.size() == 1; })) {
      const bool alone = files_.size() == 1;
      Table table = empty_table(alone ? "tensor" : "file");
      for (const TensorFile& file : files_) {
        const TensorEntry& tensor = file.tensors.front();
        add(table, alone ? printable(tensor.name) : path_of(file), tensor, index++);
      }
      table.print(out_);
      return;
    }
    for (const TensorFile& file : files_) {
      Table table = empty_table("tensor");
      for (const TensorEntry& tensor : file.tensors) add(table, printable(tensor.name), tensor, index++);
      if (table.rows() == 0) continue;
      if (files_.size() > 1) fmt::print(out_, "{}\n", path_of(file));
      table.print(out_);
      if (files_.size() > 1) fmt::print(out_, "\n");
    }
  }

  void print_summary(const Device& device) const {
    fmt::print(out_, "{} tensors, {} elements; with NaN: {}, with inf: {}, all zero: {}\n", tensors_,
               format_count(elements_), with_nan_, with_inf_, all_zero_);
    if (channel_dim_) {
      fmt::print(out_, "{} channels along dimension {}; dead: {}, constant: {}; tensors not split: {}\n",
                 format_count(channels_), *channel_dim_, format_count(dead_), format_count(constant_),
                 not_split_);
    }
    const MemoryStats memory = device.memory();
    fmt::print(out_, "{} in {:.2f}s ({:.2f} GB/s), {} threads on {}, device memory {} of {}\n",
               format_byte_size(result_.bytes), result_.seconds, gigabytes_per_second(result_),
               result_.threads, device.info().name, format_byte_size(memory.peak_committed),
               format_byte_size(memory.limit));
    if (result_.interrupted) {
      fmt::print(out_, "partial: interrupted after {} of {} tensors\n", tensors_, result_.tensors.size());
    }
  }

 private:
  static std::string path_of(const TensorFile& file) { return printable(file.path, file.path.size()); }

  void add(Table& table, std::string name, const TensorEntry& tensor, std::size_t index) {
    if (!result_.tensors[index]) return;
    const TensorStatistics& found = *result_.tensors[index];
    const Split& split = result_.splits[index];
    count(found, split);
    add_row(table, {std::move(name), std::string(to_string(tensor.dtype)), format_shape(tensor.shape)},
            found.all, tensor_flags_of(found, split, channel_dim_));
    for (std::size_t c = 0; c < found.channels.size(); ++c) {
      add_row(table, {fmt::format("  [{}]", c), "", ""}, found.channels[c],
              channel_flags_of(found.channels[c]));
    }
  }

  void count(const TensorStatistics& found, const Split& split) {
    ++tensors_;
    elements_ += static_cast<std::uint64_t>(found.all.count);
    with_nan_ += found.all.nan > 0 ? 1 : 0;
    with_inf_ += found.all.inf > 0 ? 1 : 0;
    all_zero_ += is_dead(found.all) ? 1 : 0;
    channels_ += found.channels.size();
    dead_ += static_cast<std::uint64_t>(std::ranges::count_if(found.channels, is_dead));
    constant_ += static_cast<std::uint64_t>(std::ranges::count_if(found.channels, is_constant));
    not_split_ += split.kind != SplitKind::channels ? 1 : 0;
  }

  std::FILE* out_;
  const std::vector<TensorFile>& files_;
  const StatsResult& result_;
  const std::optional<std::int64_t> channel_dim_;
  std::size_t tensors_ = 0;
  std::size_t with_nan_ = 0;
  std::size_t with_inf_ = 0;
  std::size_t all_zero_ = 0;
  std::size_t not_split_ = 0;
  std::uint64_t elements_ = 0;
  std::uint64_t channels_ = 0;
  std::uint64_t dead_ = 0;
  std::uint64_t constant_ = 0;
};

}  // namespace

void print_stats(std::FILE* out, const std::vector<TensorFile>& files, const StatsResult& result,
                 std::optional<std::int64_t> channel_dim, const Device& device) {
  Report report(out, files, result, channel_dim);
  report.print_tables();
  report.print_summary(device);
}

}  // namespace millrace::tool
