#include "stats_deflated.h"

#include <algorithm>
#include <memory>

#include "formats/inflate.h"
#include "stats_plan.h"

namespace millrace::tool {

DeflatedTensors::DeflatedTensors(const std::vector<TensorFile>& files) {
  std::size_t index = 0;
  for (const TensorFile& file : files) {
    for (const TensorEntry& entry : file.tensors) {
      if (entry.deflated) {
        tensors_.push_back({&file, &entry, index, {}});
        bytes_ += entry.bytes;
      }
      ++index;
    }
  }
  std::ranges::stable_sort(tensors_, std::ranges::greater{}, [](const Tensor& t) { return t.entry->bytes; });
}

std::uint64_t DeflatedTensors::buffer_bytes(std::uint64_t limit) const noexcept {
  const std::uint64_t largest = tensors_.empty() ? 0 : tensors_.front().entry->bytes;
  const std::uint64_t units =
      std::min(limit / kPieceAlignment, (largest + kPieceAlignment - 1) / kPieceAlignment);
  return units * kPieceAlignment;
}

void DeflatedTensors::work(const Worker& worker) {
  std::unique_ptr<MappedFile> mapped;
  const TensorFile* of = nullptr;
  while (!worker.stop()) {
    // relaxed: tensors are independent, and results are handed over when the workers are joined.
    const std::size_t taken = next_.fetch_add(1, std::memory_order_relaxed);
    if (taken >= tensors_.size()) return;
    Tensor& tensor = tensors_[taken];
    if (tensor.file != of) {
      mapped = std::make_unique<MappedFile>(tensor.file->path, tensor.file->identity);
      of = tensor.file;
    }
    tensor.result = measure(tensor, *mapped, worker);
  }
}

std::optional<Statistics> DeflatedTensors::measure(const Tensor& tensor, const MappedFile& file,
                                                   const Worker& worker) {
  Statistics total{};
  std::uint64_t left = tensor.entry->bytes;
  if (left == 0) return total;
  file.will_need(tensor.entry->deflated->offset, tensor.entry->deflated->bytes);
  InflateReader reader(file.bytes(), *tensor.entry, tensor.file->path);
  std::vector<std::byte> piece(static_cast<std::size_t>(std::min(left, worker.place_bytes)));
  const DType dtype = tensor.entry->dtype;
  Stream stream = worker.stream;
  for (bool first = true; left > 0; first = false) {
    if (worker.stop()) return std::nullopt;
    const auto bytes = static_cast<std::size_t>(std::min<std::uint64_t>(left, piece.size()));
    reader.read(std::span(piece).first(bytes));
    stream.copy(worker.place, piece.data(), bytes);
    const auto elements = static_cast<std::int64_t>(bytes / size_of(dtype));
    statistics(stream, contiguous(worker.place, dtype, {elements}), worker.result);
    Statistics part{};
    stream.copy(&part, worker.result, sizeof(part));
    stream.commit().wait();
    total = first ? part : combine(total, part);
    left -= bytes;
    worker.done(bytes);
  }
  return total;
}

void DeflatedTensors::put_into(std::vector<std::optional<Statistics>>& tensors) const {
  for (const Tensor& tensor : tensors_) tensors[tensor.index] = tensor.result;
}

}  // namespace millrace::tool
