#include "compare_report.h"

#include <cmath>
#include <map>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "byte_size.h"
#include "csv.h"
#include "formats/file_format_error.h"
#include "json_output.h"
#include "table.h"

namespace millrace::tool {
namespace {

using Json = nlohmann::ordered_json;

/// How a pair compares; nothing for one that was not reached.
std::optional<std::string> verdict_of(const TensorPair& pair, const std::optional<Difference>& difference) {
  if (pair.second.entry == nullptr) return "only in first";
  if (pair.first.entry == nullptr) return "only in second";
  if (!pair.same_shape()) return "shape differs";
  if (!pair.comparable()) return "both deflated, in different orders";
  if (!difference) return std::nullopt;
  if (pair.first.entry->dtype != pair.second.entry->dtype) {
    return difference->differing == 0 ? "dtype differs" : "dtype and values differ";
  }
  if (difference->identical) return "identical";
  return difference->differing == 0 ? "equal values" : "values differ";
}

struct Row {
  const TensorPair& pair;
  const std::optional<Difference>& difference;
  std::string verdict;
};

template <typename Visit>
void for_each_row(const Comparison& comparison, Visit visit) {
  for (std::size_t p = 0; p < comparison.pairs.size(); ++p) {
    const TensorPair& pair = comparison.pairs[p];
    const auto& difference = comparison.result.differences[p];
    if (auto verdict = verdict_of(pair, difference)) visit(Row{pair, difference, std::move(*verdict)});
  }
}

std::string dtype_of(const TensorPlace& place) {
  return place.entry == nullptr ? std::string() : std::string(to_string(place.entry->dtype));
}

std::string shape_of(const TensorPlace& place) {
  return place.entry == nullptr ? std::string() : format_shape(place.entry->shape);
}

/// "f32 -> f16", or one of them where they are the same or there is one.
std::string both(const std::string& first, const std::string& second) {
  if (first == second || second.empty()) return first;
  return first.empty() ? second : first + " -> " + second;
}

std::optional<double> max_abs_of(const Difference& difference) {
  if (difference.finite == 0) return std::nullopt;
  return difference.max_abs;
}

Json side_json(const std::vector<TensorFile>& files, const TensorPlace& place) {
  if (place.entry == nullptr) return nullptr;
  return {{"file", files[place.file].path},
          {"dtype", to_string(place.entry->dtype)},
          {"shape", place.entry->shape}};
}

Json paths_of(const std::vector<TensorFile>& files) {
  Json paths = Json::array();
  for (const TensorFile& file : files) paths.push_back(file.path);
  return paths;
}

double gigabytes_per_second(const CompareResult& result) {
  return result.seconds > 0 ? static_cast<double>(result.bytes) / 1e9 / result.seconds : 0;
}

Table empty_table() {
  return Table({{"tensor"},
                {"dtype"},
                {"shape"},
                {"differing", Align::right},
                {"max abs", Align::right},
                {"rms", Align::right},
                {"relative", Align::right},
                {"verdict", Align::left, true}});
}

std::string notes_of(const Row& row) {
  std::string text = row.verdict;
  if (!row.difference) return text;
  if (row.difference->nan_mismatch > 0)
    text += fmt::format(", NaN {}", format_count(row.difference->nan_mismatch));
  if (row.difference->inf_mismatch > 0)
    text += fmt::format(", inf {}", format_count(row.difference->inf_mismatch));
  return text;
}

}  // namespace

bool all_identical(const Comparison& comparison) {
  bool identical = true;
  for_each_row(comparison, [&](const Row& row) { identical = identical && row.verdict == "identical"; });
  return identical;
}

void write_compare_json(OutputFile& out, const Comparison& comparison) {
  if (!out.wanted()) return;
  out.begin();
  out.write("{\n  \"comparison\": [");
  const char* separator = "\n    ";
  std::map<std::string, std::size_t> verdicts;
  for_each_row(comparison, [&](const Row& row) {
    ++verdicts[row.verdict];
    Json json = {{"name", row.pair.name},
                 {"verdict", row.verdict},
                 {"identical", row.verdict == "identical"},
                 {"first", side_json(comparison.first, row.pair.first)},
                 {"second", side_json(comparison.second, row.pair.second)}};
    if (row.difference) {
      const Difference& d = *row.difference;
      const auto value = [](const std::optional<double>& v) { return v ? Json(*v) : Json(nullptr); };
      json["count"] = d.count;
      json["differing"] = d.differing;
      json["max_abs"] = value(max_abs_of(d));
      json["rms"] = value(d.rms());
      json["relative"] = value(d.relative());
      json["nan_mismatch"] = d.nan_mismatch;
      json["inf_mismatch"] = d.inf_mismatch;
    }
    out.write(separator + json_text(json));
    separator = ",\n    ";
  });
  const CompareResult& result = comparison.result;
  Json run = {{"threads", result.threads},
              {"seconds", result.seconds},
              {"bytes", result.bytes},
              {"gb_per_s", gigabytes_per_second(result)},
              {"first", paths_of(comparison.first)},
              {"second", paths_of(comparison.second)},
              {"verdicts", verdicts}};
  if (result.interrupted) run["partial"] = true;
  out.write("\n  ],\n  \"run\": " + json_text(run) + "\n}\n");
  out.end();
}

void write_compare_csv(OutputFile& out, const Comparison& comparison) {
  if (!out.wanted()) return;
  out.begin();
  out.write(csv_line({"tensor", "verdict", "first_file", "first_dtype", "first_shape", "second_file",
                      "second_dtype", "second_shape", "count", "differing", "max_abs", "rms", "relative",
                      "nan_mismatch", "inf_mismatch"}));
  for_each_row(comparison, [&](const Row& row) {
    std::vector<std::string> cells{csv_name(out, row.pair.name), row.verdict};
    const auto add_side = [&](const std::vector<TensorFile>& files, const TensorPlace& place) {
      cells.push_back(place.entry == nullptr ? std::string() : csv_name(out, files[place.file].path));
      cells.push_back(dtype_of(place));
      cells.push_back(shape_of(place));
    };
    add_side(comparison.first, row.pair.first);
    add_side(comparison.second, row.pair.second);
    if (row.difference) {
      const Difference& d = *row.difference;
      const auto value = [](const std::optional<double>& v) { return v ? csv_number(*v) : std::string(); };
      cells.insert(cells.end(), {std::to_string(d.count), std::to_string(d.differing), value(max_abs_of(d)),
                                 value(d.rms()), value(d.relative()), std::to_string(d.nan_mismatch),
                                 std::to_string(d.inf_mismatch)});
    } else {
      cells.resize(cells.size() + 7);
    }
    out.write(csv_line(cells));
  });
  out.end();
}

void print_comparison(std::FILE* out, const Comparison& comparison) {
  Table table = empty_table();
  std::map<std::string, std::size_t> verdicts;
  std::size_t rows = 0;
  for_each_row(comparison, [&](const Row& row) {
    ++verdicts[row.verdict];
    ++rows;
    if (row.verdict == "identical") return;
    const auto value = [&](const std::optional<double>& v) {
      return v ? fmt::format("{:.4g}", *v) : std::string("-");
    };
    const bool compared = row.difference.has_value();
    const Difference d = row.difference.value_or(Difference());
    table.add({printable(row.pair.name), both(dtype_of(row.pair.first), dtype_of(row.pair.second)),
               both(shape_of(row.pair.first), shape_of(row.pair.second)),
               compared ? format_count(d.differing) : "-", value(max_abs_of(d)), value(d.rms()),
               value(d.relative()), notes_of(row)});
  });
  if (table.rows() > 0) table.print(out);
  fmt::print(out, "{} tensors", comparison.pairs.size());
  const char* separator = ": ";
  for (const auto& [verdict, count] : verdicts) {
    fmt::print(out, "{}{} {}", separator, count, verdict);
    separator = ", ";
  }
  const CompareResult& result = comparison.result;
  fmt::print(out, "\n{} in {:.2f}s ({:.2f} GB/s), {} threads\n", format_byte_size(result.bytes),
             result.seconds, gigabytes_per_second(result), result.threads);
  if (result.interrupted) {
    fmt::print(out, "partial: interrupted after {} of {} tensors\n", rows, comparison.pairs.size());
  }
}

}  // namespace millrace::tool
