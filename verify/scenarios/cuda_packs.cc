// Reductions that share launches: what is in one of them, and whose tickets they count with.
#include "at_once.h"
#include "backends/cuda/reduce/packs.h"
#include "backends/cuda/reduce/tickets.h"
#include "tiny_cuda.h"

namespace millrace::verify {
namespace {

using interleave::thread;

/// A stream that gathers, without the queue around it.
struct Gathering {
  Gathering(int number, cuda::TicketSets& sets)
      : stream(reinterpret_cast<cudaStream_t>(std::uintptr_t{1} << (8 + number))), tickets(sets) {}
  void add(const ReduceWork& work) { INTERLEAVE_EXPECT(packs.add(work, tickets, stream).ok()); }
  void launch() { INTERLEAVE_EXPECT(packs.launch(stream).ok()); }
  void give_back() {
    forget_tickets(tickets.words());
    tickets.give_back();
  }

  cudaStream_t stream;
  cuda::Packs packs;
  cuda::Tickets tickets;
};

const Register take_tickets("cuda_packs.two_streams_take_tickets", "C11 C13", [] {
  expect_reductions_of_each(0);
  cuda::TicketSets sets;
  Gathering streams[] = {{0, sets}, {1, sets}};
  at_once([&](int me) {
    streams[me].add(sum_of(me, 4 + me, true));
    streams[me].launch();
  });
  INTERLEAVE_EXPECT(reductions_launched() == 2);
  for (Gathering& each : streams) each.give_back();
});

interleave::Options with_one_switch(std::uint64_t looks) {
  interleave::Options options = with_few_switches(looks);
  options.max_preemptions = 1;
  return options;
}

// What one stream gives back another one takes.
const Register give_back("cuda_packs.tickets_given_back_beside_another", "C13", [] {
  expect_reductions_of_each(0);
  cuda::TicketSets sets;
  Gathering mine(0, sets), other(1, sets);
  mine.add(sum_of(0, 4, true));
  mine.launch();
  thread taker([&] {
    other.add(sum_of(1, 5, true));
    other.launch();
  });
  mine.give_back();
  taker.join();
  other.give_back();
});

// Sums of sums, and two that write one result, are in launches of their own.
const Register conflicts("cuda_packs.what_conflicts_is_launched_later", "C11", [] {
  expect_reductions_of_each(0);
  cuda::TicketSets sets;
  Gathering stream(0, sets);
  stream.add(sum_of(0, 4));
  stream.add(sum_of(1, 5));
  stream.add(sum_of(4, 6));
  stream.add(sum_of(2, 6));
  stream.add(sum_of(3, 2));
  stream.launch();
  INTERLEAVE_EXPECT(reductions_launched() == 5);
});

/// Three that share a launch, or two where the last reads what the first writes.
Submission sums(QueueId queue, std::uint64_t value) {
  Submission made = submission(queue, value);
  for (const int input : {0, 1, 4}) made.operations.push_back(sum_operation(input, input + 4));
  return made;
}

// All of a submission is launched before what tells of its end, also where other threads submit and ask.
const Register two_submit(
    "cuda_packs.submitted_by_two_threads", "C1 C2 C11",
    [] {
      expect_reductions_of_each(3);
      TinySink sink;
      CudaQueues queues(2, sink);
      thread other([&] { queues.submit(sums(0, 1)); });
      queues.submit(sums(1, 1));
      sink.wait({0, 1});
      sink.wait({1, 1});
      other.join();
      INTERLEAVE_EXPECT(reductions_launched() == 6);
      expect_reductions_of_each(0);
    },
    Expectation::bounded("the watcher looks again as often as it likes; one preemption"),
    with_one_switch(10));

const Register between(
    "cuda_packs.around_other_work", "C1 C11",
    [] {
      expect_reductions_of_each(3);
      TinySink sink;
      CudaWork work;
      CudaQueues queues(1, sink);
      work.when_launched = [] { INTERLEAVE_EXPECT(reductions_launched() == 2); };
      Submission made = submission(0, 1);
      made.operations.push_back(sum_operation(0, 4));
      made.operations.push_back(sum_operation(1, 5));
      made.operations.push_back(work.operation());
      made.operations.push_back(sum_operation(2, 6));
      queues.submit(std::move(made));
      work.finish();
      sink.wait({0, 1});
      INTERLEAVE_EXPECT(reductions_launched() == 3);
      expect_reductions_of_each(0);
    },
    Expectation::bounded(kLooks), with_clock(12));

}  // namespace
}  // namespace millrace::verify
