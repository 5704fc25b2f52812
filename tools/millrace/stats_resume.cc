#include "stats_resume.h"

#include <limits>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "formats/file_format_error.h"
#include "formats/mapped_file.h"
#include "json_output.h"

namespace millrace::tool {
namespace {

using Json = nlohmann::ordered_json;

/// A name as it is after it was written and read: without bytes that are not UTF-8.
std::string as_written(const std::string& name) {
  return json_text(name);
}

/// Takes rows while the document is parsed, so that it is never in memory as a whole.
class ResumeReader {
 public:
  ResumeReader(const std::string& path, const std::vector<TensorFile>& files,
               std::optional<std::int64_t> channel_dim)
      : path_(path), files_(files), channel_dim_(channel_dim) {
    for (const TensorFile& file : files) {
      for (const TensorEntry& tensor : file.tensors) {
        tensors_[as_written(file.path) + as_written(tensor.name)].push_back(entries_.size());
        entries_.push_back(&tensor);
      }
    }
    known_.resize(entries_.size());
  }

  std::vector<std::optional<TensorStatistics>> read() {
    const MappedFile file(path_);
    const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
    // Twice: what the rows mean depends on the run, which may stand behind them.
    check_run(parse(text, [](const Json&) {}));
    parse(text, [this](const Json& row) { take(row); });
    return std::move(known_);
  }

 private:
  /// The document without the rows, which visit was given.
  template <typename Visit>
  Json parse(std::string_view text, Visit visit) const {
    std::string section;
    try {
      return Json::parse(text, [&](int depth, Json::parse_event_t event, Json& value) {
        if (event == Json::parse_event_t::key && depth == 1) section = value.get<std::string>();
        if (event != Json::parse_event_t::object_end || depth != 2 || section != "tensors") return true;
        visit(value);
        return false;
      });
    } catch (const Json::parse_error& error) {
      throw FileFormatError(path_, error.byte > 0 ? error.byte - 1 : 0, "the JSON of an earlier run",
                            "text that is not JSON");
    } catch (const Json::exception& error) {
      throw FileFormatError(path_, std::nullopt, "the JSON of an earlier run", printable(error.what()));
    }
  }

  [[noreturn]] void fail(std::string expected, std::string found) const {
    throw FileFormatError(path_, std::nullopt, std::move(expected), std::move(found));
  }

  static std::string show(const Json& value) { return printable(json_text(value), 80); }

  const Json& field(const Json& object, const char* key, const std::string& of) const {
    if (!object.is_object() || !object.contains(key)) fail(fmt::format("\"{}\" of {}", key, of), "none");
    return object[key];
  }

  std::string text(const Json& object, const char* key) const {
    const Json& value = field(object, key, "a tensor");
    if (!value.is_string()) fail(fmt::format("a string as \"{}\" of a tensor", key), show(value));
    return value.get<std::string>();
  }

  std::int64_t count(const Json& row, const char* key, const std::string& of) const {
    const Json& value = field(row, key, of);
    constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > kMost) {
      fail(fmt::format("a count as \"{}\" of {}", key, of), show(value));
    }
    return value.get<std::int64_t>();
  }

  /// Nothing for a row that holds what JSON has no number for, as a sum past the largest double.
  std::optional<Statistics> statistics(const Json& row, std::uint64_t elements, const std::string& of) const {
    Statistics s;
    s.count = count(row, "count", of);
    s.nan = count(row, "nan", of);
    s.inf = count(row, "inf", of);
    s.zeros = count(row, "zeros", of);
    if (static_cast<std::uint64_t>(s.count) != elements) {
      fail(fmt::format("{} elements in {}", elements, of), std::to_string(s.count));
    }
    if (s.nan > s.count || s.inf > s.count - s.nan || s.zeros > s.finite()) {
      fail(fmt::format("nan, inf and zeros of {} to be among its {} elements", of, s.count),
           fmt::format("{}, {} and {}", s.nan, s.inf, s.zeros));
    }
    s.min = std::numeric_limits<double>::infinity();
    s.max = -std::numeric_limits<double>::infinity();
    bool complete = true;
    const std::pair<const char*, double*> fields[] = {{"sum", &s.sum}, {"mean", &s.mean},
                                                      {"m2", &s.m2},   {"min", &s.min},
                                                      {"max", &s.max}, {"absmax", &s.absmax}};
    for (const auto& [key, to] : fields) {
      const Json& value = field(row, key, of);
      if (s.finite() > 0 ? !value.is_number() && !value.is_null() : !value.is_null()) {
        fail(fmt::format("{} as \"{}\" of {}", s.finite() > 0 ? "a number" : "null", key, of), show(value));
      }
      if (value.is_number()) *to = value.get<double>();
      complete = complete && (value.is_number() || s.finite() == 0);
    }
    if (!complete) return std::nullopt;
    return s;
  }

  void take(const Json& row) {
    const std::string name = text(row, "name");
    const std::string of = fmt::format("tensor {}", show(name));
    const auto found = tensors_.find(as_written(text(row, "file")) + as_written(name));
    if (found == tensors_.end()) fail("tensors of the files of this run", of);
    if (found->second.empty()) fail("each tensor once", "a second " + of);
    // The same file may be named twice; its rows are in the order of the files.
    const std::size_t index = found->second.front();
    found->second.erase(found->second.begin());
    const TensorEntry& entry = *entries_[index];
    const Json& shape = field(row, "shape", of);
    if (text(row, "dtype") != to_string(entry.dtype) || shape != Json(entry.shape)) {
      fail(fmt::format("{} {} as {}", to_string(entry.dtype), format_shape(entry.shape), of),
           fmt::format("{} {}", show(row["dtype"]), show(shape)));
    }
    TensorStatistics tensor;
    const std::optional<Statistics> all = statistics(row, entry.elements(), of);
    if (!all) return;
    tensor.all = *all;
    const Split split = split_tensor(entry, channel_dim_);
    if (split.kind == SplitKind::channels) {
      const Json& channels = field(row, "channels", of);
      if (!channels.is_array() || channels.size() != split.channels) {
        fail(fmt::format("{} channels in {}", split.channels, of),
             channels.is_array() ? std::to_string(channels.size()) : show(channels));
      }
      for (const Json& channel : channels) {
        const auto s = statistics(channel, split.outer * split.inner, "a channel of " + of);
        if (!s) return;
        tensor.channels.push_back(*s);
      }
    }
    known_[index] = std::move(tensor);
  }

  void check_run(const Json& document) const {
    const Json& run = field(document, "run", "the document");
    const Json& others = field(document, "tensors", "the document");
    if (!others.is_array() || !others.empty()) fail("a list of objects as \"tensors\"", show(others));
    const Json expected = channel_dim_ ? Json(*channel_dim_) : Json();
    const Json found = run.is_object() && run.contains("channel_dim") ? run["channel_dim"] : Json();
    if (expected != found) {
      const auto name = [](const Json& dim) {
        return dim.is_null() ? std::string("a run without --channel") : "a run with --channel " + show(dim);
      };
      fail(name(expected), name(found));
    }
    const Json& files = field(run, "files", "the run");
    if (!files.is_array() || files.size() != files_.size()) {
      fail(fmt::format("a run of {} files", files_.size()),
           files.is_array() ? std::to_string(files.size()) : show(files));
    }
    for (std::size_t i = 0; i < files_.size(); ++i) check_file(files_[i], files[i]);
  }

  void check_file(const TensorFile& file, const Json& found) const {
    const std::string name = printable(file.path, file.path.size());
    const Json& path = field(found, "path", "a file");
    if (json_text(path) != as_written(file.path)) fail("a run of " + name, show(path));
    const Json& size = field(found, "size", name);
    if (size != Json(file.identity.size)) {
      fail(fmt::format("a run of {} with its {} bytes", name, file.identity.size), show(size));
    }
    const Json& modified = field(found, "modified_ns", name);
    if (modified != Json(file.identity.modified_ns)) {
      fail(fmt::format("a run of {} as it was changed last, at {} ns", name, file.identity.modified_ns),
           show(modified));
    }
  }

  const std::string& path_;
  const std::vector<TensorFile>& files_;
  const std::optional<std::int64_t> channel_dim_;
  std::vector<const TensorEntry*> entries_;
  std::unordered_map<std::string, std::vector<std::size_t>> tensors_;  // those that no row was taken for
  std::vector<std::optional<TensorStatistics>> known_;
};

}  // namespace

std::vector<std::optional<TensorStatistics>> read_resume(const std::string& path,
                                                         const std::vector<TensorFile>& files,
                                                         std::optional<std::int64_t> channel_dim) {
  return ResumeReader(path, files, channel_dim).read();
}

}  // namespace millrace::tool
