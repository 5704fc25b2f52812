// What is held until its turn comes, and what the host runs of it.
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "backends/cuda/driver.h"
#include "backends/cuda/own_queues.h"
#include "backends/cuda/queue.h"
#include "backends/cuda/ranges.h"

namespace millrace::cuda {

bool Queues::advance(Queue& queue, bool plain_only) noexcept {
  std::unique_ptr<Item> item;
  bool ahead = false;
  {
    sync::LockGuard lock(queue.mutex);
    if (queue.held.empty() || queue.given_up) return false;
    const Item& front = *queue.held.front();
    if (plain_only && !front.plain) return false;
    ahead = goes_ahead(queue, front.submission, front.on_host);
    if (!ahead && !is_its_turn(queue, front)) return false;
    if (!try_begin(queue, front.submission, front.plain)) return false;  // the next look may find memory
    item.reset(queue.held.pop_front());
  }
  if (ahead) {
    fill(queue, std::move(item));
    return true;
  }
  Status refused = verdict();
  if (refused.ok() && stopped_.load(std::memory_order_acquire)) refused = failures_.stopped;  // see submit
  if (refused.ok()) refused = sink_.may_run(item->submission);
  if (refused.ok() && !item->on_host) {
    fill(queue, std::move(item));
    return true;
  }
  if (refused.ok()) {
    const std::uint64_t value = item->submission.value;
    {
      sync::LockGuard lock(queue.mutex);
      queue.running = std::move(item);
      queue.offered = value;
    }
    bool accepted = false;
    try {
      accepted = tasks_.run([this, &queue, value] {
        if (take_offer(queue, value)) run(queue);
      });
    } catch (const std::bad_alloc&) {
      accepted = false;
    }
    if (accepted || !take_offer(queue, value)) return true;
    refused = failures_.no_memory;
    item = std::move(queue.running);
  }
  if (!begin_finishing(queue)) {
    queue.running = std::move(item);  // what destroying it would touch may be gone by now
    return true;
  }
  {
    const OwnScope own(this);
    // Before anybody hears of it: what tasks captured is free by then.
    if (queue.stream.is_wrapped()) {
      item->submission.operations.clear();
      item->submission.waits.clear();
    } else {
      item.reset();
    }
  }
  if (item) {
    fill(queue, std::move(item), std::move(refused));  // upholds C7
  } else {
    end(queue, {}, std::move(refused));
  }
  (void)report(queue, plain_only);
  return true;
}

bool Queues::begin_finishing(Queue& queue) noexcept {
  sync::LockGuard lock(queue.mutex);
  queue.finishing = !queue.abandoned;
  return queue.finishing;
}

bool Queues::take_offer(Queue& queue, std::uint64_t value) noexcept {
  sync::LockGuard lock(queue.mutex);
  if (queue.offered != value) return false;
  queue.offered = 0;
  return true;
}

bool Queues::run_copies(Queue& queue) noexcept {
  {
    sync::LockGuard lock(queue.mutex);
    if (queue.offered == 0 || !queue.running->plain) return false;
    if (is_captured_by_owner(queue)) return false;  // it would wait for the capture's end, which may be ours
    queue.offered = 0;
  }
  const OwnScope own(this);
  run(queue);
  return true;
}

void Queues::run(Queue& queue) noexcept {
  Status failure;
  try {
    failure = run_operations(queue);
  } catch (const std::bad_alloc&) {  // while the failure was being described
    failure = failures_.no_memory;
  }
  if (!begin_finishing(queue)) return;  // as in advance
  queue.running.reset();
  end(queue, {}, std::move(failure));
  (void)report(queue, false);
  wake(Urgency::high);
}

Status Queues::run_operations(Queue& queue) {
  const Range range(nvtx_, nvtx_ ? "stream " + std::to_string(queue.id) : std::string());
  if (queue.stream.is_wrapped()) {
    // What its owner has put on it comes first (C7).
    const ContextScope scope(context_);
    Status usable = queue.stream.check();
    queue.stream.finish();
    if (!usable.ok()) return usable;
  }
  for (const Operation& operation : queue.running->submission.operations) {
    if (Status over = verdict(); !over.ok()) return over;
    // Each with the context anew: a task may leave another one behind.
    const ContextScope scope(context_);
    CUresult opened = scope.result();
    if (opened == CUDA_SUCCESS) opened = queue.stream.open();
    if (opened != CUDA_SUCCESS) return status_of(opened, "asked for a stream", device_, queue.id);
    const auto failed = [&](const char* why) {
      return Status(ErrorCode::WorkFailed, "operation \"" + operation.name + "\" failed: " + why,
                    error_context(queue.id));
    };
    try {
      const Range own_range(nvtx_, operation.name);
      if (Status status = queue.stream.run(operation); !status.ok()) return status;
    } catch (const std::exception& error) {
      return failed(error.what());
    } catch (...) {
      return failed("it threw something that is not a std::exception");
    }
  }
  return {};
}

}  // namespace millrace::cuda
