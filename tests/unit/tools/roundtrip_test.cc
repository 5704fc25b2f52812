// Random valid files are read back as they were written; the same files damaged anywhere are either
// refused or still describe ranges within the file.
#include <cstdlib>
#include <random>
#include <set>
#include <string>

#include "formats/inflate.h"
#include "formats/npy.h"
#include "formats/npz.h"
#include "formats/safetensors.h"
#include "formats/safetensors_writer.h"
#include "zip_support.h"

namespace millrace::tool {
namespace {

/// Printed with each failure; MILLRACE_TEST_SEED repeats a run.
std::uint64_t seed() {
  static const std::uint64_t value = [] {
    const char* const given = std::getenv("MILLRACE_TEST_SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device()();
  }();
  return value;
}

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  /// From 0 to below the limit.
  std::uint64_t below(std::uint64_t limit) {
    return std::uniform_int_distribution<std::uint64_t>(0, limit - 1)(engine_);
  }

  std::string name() {
    static constexpr std::string_view kLetters = "abcXYZ019._-/ \"\\\n\t";
    std::string text;
    for (std::uint64_t i = 0, n = below(20); i < n; ++i) text.push_back(kLetters[below(kLetters.size())]);
    if (below(4) == 0) text += "\xc3\xa9";
    return text;
  }

  TensorData tensor(std::string name) {
    TensorData data{std::move(name), static_cast<DType>(below(kDTypeCount)), {}, {}};
    for (std::uint64_t i = 0, rank = below(5); i < rank; ++i) {
      data.shape.push_back(static_cast<std::int64_t>(below(6)));
    }
    data.bytes.resize(static_cast<std::size_t>(*checked_bytes(data.shape, size_of(data.dtype))));
    for (std::byte& b : data.bytes) b = static_cast<std::byte>(below(256));
    return data;
  }

 private:
  std::mt19937_64 engine_;
};

void expect_same(const TensorEntry& entry, const TensorData& data, std::span<const std::byte> file) {
  EXPECT_EQ(entry.name, data.name);
  EXPECT_EQ(entry.dtype, data.dtype);
  EXPECT_EQ(entry.shape, data.shape);
  ASSERT_LE(entry.offset + entry.bytes, file.size());
  EXPECT_TRUE(std::ranges::equal(file.subspan(entry.offset, entry.bytes), data.bytes));
}

TEST(FormatRoundTrip, Safetensors) {
  SCOPED_TRACE("seed " + std::to_string(seed()));
  Random random(seed());
  for (int round = 0; round < 300; ++round) {
    std::vector<TensorData> written;
    std::set<std::string> names{"__metadata__"};
    for (std::uint64_t i = 0, n = random.below(12); i < n; ++i) {
      std::string name = random.name();
      if (names.insert(name).second) written.push_back(random.tensor(name));
    }
    const std::vector<std::byte> file = to_safetensors(written);
    const std::vector<TensorEntry> read = parse_safetensors(file, "f");
    ASSERT_EQ(read.size(), written.size());
    for (const TensorData& data : written) {
      const auto entry = std::ranges::find(read, data.name, &TensorEntry::name);
      ASSERT_NE(entry, read.end());
      expect_same(*entry, data, file);
    }
  }
}

std::string descr_of(DType dtype) {
  switch (dtype) {
    case DType::f64: return "<f8";
    case DType::f32: return "<f4";
    case DType::f16: return "<f2";
    case DType::i64: return "<i8";
    case DType::i32: return "<i4";
    case DType::i16: return "<i2";
    case DType::i8: return "|i1";
    case DType::u8: return "|u1";
    case DType::boolean: return "|b1";
    case DType::bf16: break;
  }
  return "";
}

std::vector<std::byte> to_npy(const TensorData& data, bool fortran_order) {
  std::string shape;
  for (const std::int64_t size : data.shape) shape += std::to_string(size) + ",";
  const std::string header = "{'descr': '" + descr_of(data.dtype) +
                             "', 'fortran_order': " + (fortran_order ? "True" : "False") + ", 'shape': (" +
                             shape + "), }\n";
  std::vector<std::byte> file = bytes_of(npy_file(header, 0));
  file.insert(file.end(), data.bytes.begin(), data.bytes.end());
  return file;
}

TEST(FormatRoundTrip, Npy) {
  SCOPED_TRACE("seed " + std::to_string(seed()));
  Random random(seed() + 1);
  for (int round = 0; round < 500; ++round) {
    const TensorData data = random.tensor("weights");
    if (data.dtype == DType::bf16) continue;  // NumPy has no name for it
    const bool fortran_order = random.below(2) == 0;
    const std::vector<std::byte> file = to_npy(data, fortran_order);
    const TensorEntry entry = parse_npy(file, "folder/weights.npy");
    expect_same(entry, data, file);
    EXPECT_EQ(entry.fortran_order, fortran_order);
  }
}

std::string text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::vector<std::byte> elements_of(const TensorEntry& entry, std::span<const std::byte> file) {
  if (!entry.deflated) {
    const auto elements = file.subspan(entry.offset, entry.bytes);
    return {elements.begin(), elements.end()};
  }
  std::vector<std::byte> elements(entry.bytes);
  InflateReader(file, entry, "f").read(elements);
  return elements;
}

TEST(FormatRoundTrip, Npz) {
  SCOPED_TRACE("seed " + std::to_string(seed()));
  Random random(seed() + 3);
  for (int round = 0; round < 300; ++round) {
    std::vector<TensorData> written;
    std::vector<ZipPart> parts;
    for (std::uint64_t i = 0, n = random.below(6); i < n; ++i) {
      TensorData data = random.tensor(random.name() + std::to_string(i));
      if (data.dtype == DType::bf16) data.dtype = DType::f16;
      parts.push_back(
          {data.name + ".npy", text_of(to_npy(data, false)), random.below(2) == 0, random.below(2) == 0});
      written.push_back(std::move(data));
    }
    const std::vector<std::byte> file =
        bytes_of(zip_file(parts, {.zip64 = random.below(2) == 0, .reversed = random.below(2) == 0}));
    const std::vector<TensorEntry> read = parse_npz(file, "f");
    ASSERT_EQ(read.size(), written.size());
    for (std::size_t i = 0; i < read.size(); ++i) {
      EXPECT_EQ(read[i].name, written[i].name);
      EXPECT_EQ(read[i].dtype, written[i].dtype);
      EXPECT_EQ(read[i].shape, written[i].shape);
      EXPECT_EQ(elements_of(read[i], file), written[i].bytes);
    }
  }
}

TEST(FormatRoundTrip, DamagedArchivesNeverReachPastTheEnd) {
  SCOPED_TRACE("seed " + std::to_string(seed()));
  Random random(seed() + 4);
  const std::string array = text_of(to_npy({"x", DType::u8, {200}, std::vector<std::byte>(200)}, false));
  const std::string originals[] = {
      zip_file({{"a.npy", array}, {"b.npy", array, true}, {"c.npy", array, true, true}}),
      zip_file({{"a.npy", array, true}, {"b.npy", array}}, {.zip64 = true})};
  int refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::byte> file = bytes_of(originals[round % 2]);
    for (std::uint64_t i = 0, n = 1 + random.below(3); i < n; ++i) {
      file[static_cast<std::size_t>(random.below(file.size()))] = static_cast<std::byte>(random.below(256));
    }
    try {
      for (const TensorEntry& entry : parse_npz(file, "f")) {
        ASSERT_EQ(checked_bytes(entry.shape, size_of(entry.dtype)), entry.bytes);
        if (!entry.deflated) {
          ASSERT_LE(entry.offset + entry.bytes, file.size());
        }
        if (entry.bytes < 1'000'000) elements_of(entry, file);
      }
    } catch (const FileFormatError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 10'000) << "most damage lies in headers and packed data and must be seen";
}

TEST(FormatRoundTrip, DamagedFilesNeverReachPastTheEnd) {
  SCOPED_TRACE("seed " + std::to_string(seed()));
  Random random(seed() + 2);
  const std::vector<TensorData> tensors{random.tensor("a"), random.tensor("b"), random.tensor("c")};
  TensorData array = random.tensor("array");
  if (array.dtype == DType::bf16) array.dtype = DType::f16;
  const std::vector<std::byte> originals[] = {to_safetensors(tensors), to_npy(array, false)};
  int refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::byte> file = originals[round % 2];
    for (std::uint64_t i = 0, n = 1 + random.below(3); i < n && !file.empty(); ++i) {
      const auto at = static_cast<std::ptrdiff_t>(random.below(file.size()));
      switch (random.below(3)) {
        case 0: file[static_cast<std::size_t>(at)] = static_cast<std::byte>(random.below(256)); break;
        case 1: file.erase(file.begin() + at); break;
        default: file.insert(file.begin() + at, static_cast<std::byte>(random.below(256))); break;
      }
    }
    try {
      std::vector<TensorEntry> entries;
      if (round % 2 == 0) {
        entries = parse_safetensors(file, "f");
      } else {
        entries.push_back(parse_npy(file, "f"));
      }
      for (const TensorEntry& entry : entries) {
        ASSERT_LE(entry.offset, file.size());
        ASSERT_LE(entry.bytes, file.size() - entry.offset);
        ASSERT_EQ(entry.bytes % size_of(entry.dtype), 0U);
        ASSERT_EQ(checked_bytes(entry.shape, size_of(entry.dtype)), entry.bytes);
      }
    } catch (const FileFormatError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 10'000) << "most damage lies in headers and must be seen";
}

}  // namespace
}  // namespace millrace::tool
