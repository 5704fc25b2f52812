// Work that is recorded once and launched many times as one operation.
#pragma once

#include <millrace/export.h>
#include <millrace/stream.h>

namespace millrace {

namespace detail {
class GraphState;
struct Access;
}  // namespace detail

/// A handle to captured work and its memory. Copies share it. When the last one ends, and every launch is
/// done, the memory that was allocated inside the capture goes back to the device; blocks of it that are
/// still allocated keep what they need until they are freed. What was allocated outside is the caller's to
/// keep.
///
/// Thread safety: any thread, any time. Errors: Closed, ForkedProcess.
class MILLRACE_API Graph {
 public:
  Graph() = default;
  Graph(const Graph&) noexcept;
  Graph(Graph&&) noexcept;
  Graph& operator=(Graph) noexcept;
  ~Graph();

  bool valid() const noexcept { return state_ != nullptr; }
  /// Records a launch as one operation of the stream's command buffer, in order like any other. Launches of
  /// one graph run one after the other, also those on different streams. Throws InvalidArgument for a stream
  /// of another device; rules of recording, and "not-capturable" inside a capture.
  void launch(Stream stream, SourcePlace place = SourcePlace::here());
  /// CUDA: a cudaGraphExec_t. It lives as long as the handles; of launches that are not made through launch
  /// nothing is known.
  void* native() const;

 private:
  friend struct detail::Access;
  explicit Graph(detail::GraphState* state) noexcept : state_(state) {}  // takes the reference
  detail::GraphState* state_ = nullptr;
};

/// Captures what is recorded in a stream of its own: none of it runs. Code that works on a Stream works on
/// that one: copies, fills, reductions, kernels through record_native, memory allocated for it and freed.
/// That memory belongs to the graph: nothing that was freed before is reused inside, and nothing inside is
/// reused outside. Pinned memory that is freed inside is not reused there either: a launch reads it when the
/// host has long been through with it.
///
/// What a graph can't do is refused where it is recorded: host tasks, copies of host memory that the driver
/// does not know, launches of graphs (rule "not-capturable"); waits of the host, queries, handlers,
/// Device::record_use and record_stream (rule "captured-work"); waits for events from outside
/// ("event-outside-capture"), or outside for those that were recorded inside, whose work runs at a launch
/// only ("captured-event"): no stream of the device becomes part of a capture by waiting, branch makes those.
/// Memory from outside that the captured work uses must be kept as long as the graph is launched.
///
/// Thread safety: move, branch, end, abort and destruction by one thread at a time; its streams by any.
class MILLRACE_API Capture {
 public:
  Capture() = default;
  Capture(Capture&& other) noexcept;
  Capture& operator=(Capture&& other) noexcept;
  /// As abort.
  ~Capture();

  /// Valid until the capture ends; from then on rule "stale-stream".
  Stream stream() const noexcept { return stream_; }
  /// Another stream of the same capture: its work comes after all that the capture's streams have recorded by
  /// now, which is committed, and may run beside what they record from here on. Within the capture streams
  /// wait for each other's events, which commits what an event was recorded in; stream() has to wait for the
  /// end of each branch before the capture ends.
  /// Memory allocated for a branch belongs to the graph, and is reused in the order of that branch. A block
  /// that several streams of the capture use may be freed as soon as its own stream has waited for the
  /// others; it is not reused inside.
  ///
  /// Takes one of DeviceOptions::captures until the capture has ended, and throws PoolExhausted beyond them;
  /// rule "encoder-open-at-commit" while a recorder is open.
  Stream branch();
  /// Commits what was recorded last, and ends the capture. Rule "encoder-open-at-commit" while a recorder is
  /// open: the capture goes on. Any other failure ends it without a graph: of work that could not be
  /// captured; rule "unjoined-branch" where stream() has not waited for all of a branch, or of a stream that
  /// the caller's own work took into the capture; rule "capture-invalidated" when the driver gave up on it.
  Graph end();
  /// Ends it without a graph, and gives its memory back. A second call does nothing.
  void abort() noexcept;

 private:
  friend struct detail::Access;
  explicit Capture(Stream stream) : stream_(stream) {}
  Stream stream_;
};

}  // namespace millrace
