#include "backends/host/execute.h"

#include <cstring>
#include <exception>
#include <stdexcept>

#include "backends/host/reduce/engine.h"

namespace millrace::host {
namespace {

struct Run {
  Workers& workers;

  void operator()(const CopyWork& work) const {
    if (work.bytes != 0) std::memmove(work.to, work.from, work.bytes);
  }
  void operator()(const FillWork& work) const {
    if (work.bytes != 0) std::memset(work.to, work.value, work.bytes);
  }
  void operator()(const TaskWork& work) const { work.task(); }
  void operator()(const ReduceWork& work) const { run_reduce(work, workers); }
  void operator()(const GraphWork& /*work*/) const {
    throw std::logic_error("a graph was launched on a device that makes none");
  }
};

Status failed(const Operation& operation, const char* why, const std::string& device, int stream) {
  return Status(ErrorCode::WorkFailed, "operation \"" + operation.name + "\" failed: " + why,
                {.call = {}, .device = device, .stream = stream, .rule = {}});
}

}  // namespace

void run_reduce(const ReduceWork& work, Workers& workers) {
  if (work.kept_count != 0) Engine(work).run(workers);
}

Status execute(const Operation& operation, Workers& workers, const std::string& device, int stream) {
  try {
    std::visit(Run{workers}, operation.work);
    return {};
  } catch (const std::exception& error) {
    return failed(operation, error.what(), device, stream);
  } catch (...) {
    return failed(operation, "it threw something that is not a std::exception", device, stream);
  }
}

}  // namespace millrace::host
