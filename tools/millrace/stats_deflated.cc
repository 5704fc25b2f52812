#include "stats_deflated.h"

#include <memory>
#include <span>

#include "formats/inflate.h"
#include "packed_pages.h"

namespace millrace::tool {
void DeflatedTensors::work(const Worker& worker) {
  while (!worker.stop()) {
    const std::size_t taken = next_.fetch_add(1, std::memory_order_relaxed);
    if (taken >= plan_.deflated.size()) return;
    const DeflatedTensor& tensor = plan_.deflated[taken];
    worker.found(tensor.tensor, measure(tensor, worker));
  }
}

std::optional<TensorStatistics> DeflatedTensors::measure(const DeflatedTensor& tensor,
                                                         const Worker& worker) const {
  const TensorEntry& entry = *tensor.entry;
  const std::shared_ptr<const MappedFile> file = mappings_.get(tensor.file);
  PackedPages pages(*file, entry);
  InflateReader reader(file->bytes(), entry, files_[tensor.file].path);
  PieceCutter cutter(entry, plan_.splits[tensor.tensor]);
  TensorFold fold;
  std::vector<std::byte> unpacked;
  Stream stream = worker.stream;
  while (const std::optional<Piece> piece = cutter.next()) {
    if (worker.stop()) return std::nullopt;
    const auto bytes = static_cast<std::size_t>(piece->bytes);
    if (worker.host == nullptr) unpacked.resize(bytes);
    std::byte* elements = worker.host != nullptr ? worker.host : unpacked.data();
    reader.read({elements, bytes});
    if (worker.device != nullptr) {
      stream.copy(worker.device, elements, bytes);
      elements = worker.device;
    }
    record_statistics(stream, *piece, entry.dtype, elements, worker.results);
    stream.commit().wait();
    fold.add(*piece, worker.results);
    pages.advance(piece->offset + piece->bytes);
    worker.done(piece->bytes);
  }
  return fold.take(plan_.splits[tensor.tensor]);
}

}  // namespace millrace::tool
