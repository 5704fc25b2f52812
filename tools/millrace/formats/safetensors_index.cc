#include "formats/safetensors_index.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "formats/extension.h"
#include "formats/file_format_error.h"
#include "formats/json_text.h"
#include "formats/pickle.h"
#include "formats/safetensors.h"

namespace millrace::tool {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// Deeper than anything that is written into an index's metadata.
constexpr std::size_t kMaxDepth = 64;

std::string in_quotes(std::string_view text) {
  return fmt::format("\"{}\"", printable(text));
}

/// Takes the parser's events: the weight_map is kept, every other value is skipped.
class IndexReader final : public nlohmann::json_sax<json> {
 public:
  IndexReader(const std::string& file, std::string_view text) : file_(file), text_(text) {}

  std::vector<IndexEntry> read() {
    json::sax_parse(CountingIterator(text_.data(), &furthest_),
                    CountingIterator(text_.data() + text_.size(), &furthest_), this);
    if (!keys_.contains("weight_map")) fail("a weight_map", "none");
    if (entries_.empty()) fail("tensors in weight_map", "none");
    return std::move(entries_);
  }

  bool null() override { return scalar("null"); }
  bool boolean(bool value) override { return scalar(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override { return scalar(std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override { return scalar(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& text) override { return scalar(text); }
  bool binary(binary_t&) override { return scalar("binary data"); }

  bool string(string_t& value) override {
    if (state_ != State::shard) return scalar("\"" + value + "\"");
    entries_.back().shard = shard_name(value);
    state_ = State::in_weights;
    return true;
  }

  bool start_object(std::size_t) override {
    switch (state_) {
      case State::start: state_ = State::top; return true;
      case State::weights: state_ = State::in_weights; return true;
      case State::metadata:
      case State::value:
      case State::skipping: return deeper();
      default: return unexpected("an object");
    }
  }

  bool start_array(std::size_t) override {
    if (state_ == State::value || state_ == State::skipping) return deeper();
    return unexpected("an array");
  }

  bool end_object() override { return end(); }
  bool end_array() override { return end(); }

  bool key(string_t& name) override {
    if (state_ == State::top) {
      if (!keys_.insert(name).second) fail("each key once", "a second " + in_quotes(name));
      state_ = name == "weight_map" ? State::weights : (name == "metadata" ? State::metadata : State::value);
    } else if (state_ == State::in_weights) {
      if (!tensors_.insert(name).second) fail("each tensor once", "a second " + in_quotes(name));
      entries_.push_back({name, {}, here()});
      state_ = State::shard;
    }
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    throw FileFormatError(file_, position > 0 ? position - 1 : 0, "a JSON object",
                          "text that is not: " + json_complaint(error.what()));
  }

 private:
  enum class State {
    start,
    top,
    weights,     // the value of weight_map comes next
    in_weights,  // within it
    shard,       // the value of a tensor comes next
    metadata,    // the value of metadata comes next
    value,       // the value of another key comes next
    skipping,    // within one of the two
    end,
  };

  std::uint64_t here() const {
    const auto read = static_cast<std::uint64_t>(furthest_ - text_.data());
    return read > 0 ? read - 1 : 0;
  }

  [[noreturn]] void fail(std::string expected, std::string found) const {
    throw FileFormatError(file_, here(), std::move(expected), std::move(found));
  }

  bool unexpected(std::string_view found) const {
    std::string expected = "a key";
    if (state_ == State::start) expected = "a JSON object";
    if (state_ == State::weights) expected = "an object as weight_map";
    if (state_ == State::metadata) expected = "an object as metadata";
    if (state_ == State::shard) {
      expected = "the name of a file as shard of tensor " + in_quotes(entries_.back().tensor);
    }
    fail(std::move(expected), printable(found));
  }

  bool scalar(std::string_view found) {
    if (state_ == State::skipping) return true;
    if (state_ != State::value) return unexpected(found);
    state_ = State::top;
    return true;
  }

  bool deeper() {
    state_ = State::skipping;
    if (++depth_ > kMaxDepth) fail(fmt::format("values nested at most {} deep", kMaxDepth), "more");
    return true;
  }

  bool end() {
    if (state_ == State::skipping) {
      if (--depth_ == 0) state_ = State::top;
    } else {
      state_ = state_ == State::in_weights ? State::top : State::end;
    }
    return true;
  }

  /// A name from the file made a path that can't leave the index's folder by itself.
  std::string shard_name(const std::string& name) const {
    const std::string of = "the shard of tensor " + in_quotes(entries_.back().tensor);
    if (name.find('\0') != std::string::npos) fail(of + " without a zero byte", in_quotes(name));
    const fs::path path(name);
    if (path.is_absolute() || std::find(path.begin(), path.end(), fs::path("..")) != path.end()) {
      fail(of + " within the index's folder", in_quotes(name));
    }
    if (is_pickle_name(path))
      fail(of + " to be a .safetensors file", in_quotes(name) + ", " + kPickleRefusal);
    if (lower_extension(path) != ".safetensors") fail(of + " to be a .safetensors file", in_quotes(name));
    return path.lexically_normal().string();
  }

  const std::string& file_;
  std::string_view text_;
  const char* furthest_ = text_.data();
  State state_ = State::start;
  std::size_t depth_ = 0;
  std::vector<IndexEntry> entries_;
  std::unordered_set<std::string> keys_;
  std::unordered_set<std::string> tensors_;
};

bool is_below(const fs::path& path, const fs::path& folder) {
  return std::mismatch(folder.begin(), folder.end(), path.begin(), path.end()).first == folder.end();
}

fs::path resolved(const fs::path& path) {
  std::error_code error;
  fs::path real = fs::canonical(path, error);
  if (error) throw FileFormatError(path.string(), std::nullopt, "a readable path", error.message());
  return real;
}

/// Finds the files of one index and holds them against it.
class ShardReader {
 public:
  ShardReader(const std::string& index, const std::vector<IndexEntry>& entries)
      : index_(index), entries_(entries), folder_(fs::path(index).parent_path()) {
    for (const IndexEntry& entry : entries) {
      first_at_.try_emplace(entry.shard, entry.at);
      listed_.emplace(entry.tensor, &entry);
    }
  }

  std::vector<TensorFile> read() const {
    std::vector<TensorFile> files;
    std::unordered_set<std::string> found;
    for (const auto& [shard, at] : first_at_) {
      files.push_back(read_shard(shard, at));
      for (const TensorEntry& tensor : files.back().tensors) {
        check_listed(tensor, shard, files.back().path);
        found.insert(tensor.name);
      }
    }
    for (const IndexEntry& entry : entries_) {
      if (!found.contains(entry.tensor)) {
        throw FileFormatError(
            index_, entry.at,
            fmt::format("tensor {} in shard {}", in_quotes(entry.tensor), in_quotes(entry.shard)),
            "no tensor of that name there");
      }
    }
    return files;
  }

 private:
  TensorFile read_shard(const std::string& shard, std::uint64_t at) const {
    const fs::path path = folder_ / shard;
    std::error_code error;
    const fs::path real = fs::canonical(path, error);
    if (error) {
      throw FileFormatError(
          index_, at, fmt::format("shard {} in the folder of the index", in_quotes(shard)),
          error == std::errc::no_such_file_or_directory ? "nothing of that name" : error.message());
    }
    if (!is_below(real, home_) && !is_below(real, home_of_link_)) {
      throw FileFormatError(
          index_, at, fmt::format("shard {} within the folder of the index", in_quotes(shard)),
          fmt::format("a link out of it, to {}; name that file itself", in_quotes(real.string())));
    }
    const MappedFile file(path.string());
    return {path.string(), file.identity(), parse_safetensors(file.bytes(), path.string())};
  }

  void check_listed(const TensorEntry& tensor, const std::string& shard, const std::string& path) const {
    const auto entry = listed_.find(tensor.name);
    if (entry != listed_.end() && entry->second->shard == shard) return;
    const std::string index = in_quotes(fs::path(index_).filename().string());
    if (entry == listed_.end()) {
      throw FileFormatError(path, tensor.offset, fmt::format("only tensors that {} lists", index),
                            fmt::format("{}, which it does not list", in_quotes(tensor.name)));
    }
    throw FileFormatError(
        path, tensor.offset, fmt::format("only tensors that {} lists for this shard", index),
        fmt::format("{}, which it lists for {}", in_quotes(tensor.name), in_quotes(entry->second->shard)));
  }

  const std::string& index_;
  const std::vector<IndexEntry>& entries_;
  const fs::path folder_;
  // The folder with its links resolved, and that of the file that the index may be a link to.
  const fs::path home_ = resolved(folder_.empty() ? "." : folder_);
  const fs::path home_of_link_ = resolved(index_).parent_path();
  std::map<std::string, std::uint64_t> first_at_;  // of each shard; sorted
  std::unordered_map<std::string_view, const IndexEntry*> listed_;
};

}  // namespace

bool is_safetensors_index_name(const fs::path& path) {
  const std::string name = lower_case(path.filename().string());
  return name.ends_with(".json") && name.find(".safetensors.index.") != std::string::npos;
}

std::vector<IndexEntry> parse_safetensors_index(std::span<const std::byte> bytes, const std::string& file) {
  if (bytes.size() > kMaxSafetensorsIndex) {
    throw FileFormatError(file, 0, fmt::format("an index of at most {} bytes", kMaxSafetensorsIndex),
                          std::to_string(bytes.size()));
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  // The JSON reader takes a zero byte for the end of the text; what follows it would go unchecked.
  if (const std::size_t zero = text.find('\0'); zero != std::string_view::npos) {
    throw FileFormatError(file, zero, "JSON text", "a zero byte");
  }
  return IndexReader(file, text).read();
}

std::vector<TensorFile> read_safetensors_index(const std::string& path) {
  const MappedFile file(path);
  const std::vector<IndexEntry> entries = parse_safetensors_index(file.bytes(), path);
  return ShardReader(path, entries).read();
}

}  // namespace millrace::tool
