// Leases of streams, and what is recorded, committed and waited for through them.
#include <vector>

#include "one_stream.h"
#include "tiny_work.h"

namespace millrace::verify {
namespace {

using interleave::thread;

const Register two_lease(
    "lease.two_take_the_last", "S6",
    [] {
      TinyDevice device({.streams = 2});
      TinyContext mine(device, 1), other(device, 2);
      const auto try_lease = [&](TinyContext& context) {
        try {
          return device.streams().lease(context.get(), "lease").slot;
        } catch (const Error& error) {
          INTERLEAVE_EXPECT(error.code() == ErrorCode::PoolExhausted);
          return -1;
        }
      };
      int theirs = 0;
      thread taker([&] { theirs = try_lease(other); });
      const int ours = try_lease(mine);
      taker.join();
      INTERLEAVE_EXPECT(ours + theirs == 0 && (ours == 1 || theirs == 1));
      device.streams().end_lease(nullptr, 1);
    },
    with_device());

const Register waits_for_end(
    "lease.waits_for_the_end_of_another", "S6",
    [] {
      TinyDevice device({.streams = 2, .exhaustion = ExhaustionPolicy::wait});
      TinyContext mine(device, 1), other(device, 2);
      const StreamId held = device.streams().lease(other.get(), "lease");
      thread holder([&] { device.streams().end_lease(nullptr, held.slot); });
      const StreamId taken = device.streams().lease(mine.get(), "lease");
      INTERLEAVE_EXPECT(taken.slot == held.slot && taken.generation != held.generation);
      holder.join();
      device.streams().end_lease(&mine.get(), taken.slot);
    },
    with_device());

const Register waits_for_exit(
    "lease.waits_for_the_exit_of_another", "S6 S10 X3",
    [] {
      TinyDevice device({.streams = 2, .exhaustion = ExhaustionPolicy::wait});
      TinyContext mine(device, 1), other(device, 2);
      const StreamId held = StreamPool::current(other.get(), "current");
      thread holder([&] { other.end(); });
      const StreamId taken = device.streams().lease(mine.get(), "lease");
      INTERLEAVE_EXPECT(taken.slot == held.slot && taken.generation != held.generation);
      holder.join();
      device.streams().end_lease(&mine.get(), taken.slot);
    },
    with_device());

const Register waits_against_close(
    "lease.waits_against_close", "S6 D1",
    [] {
      TinyDevice device({.streams = 2, .exhaustion = ExhaustionPolicy::wait});
      TinyContext mine(device, 1), other(device, 2);
      const StreamId held = device.streams().lease(other.get(), "lease");
      thread waiter([&] {
        const std::string rule =
            rule_of([&] { static_cast<void>(device.streams().lease(mine.get(), "lease")); });
        INTERLEAVE_EXPECT(rule == to_string(ErrorCode::Closed));
      });
      device.close();
      waiter.join();
      device.streams().end_lease(nullptr, held.slot);
    },
    with_device());

// A handle that outlives its lease records nothing, or what it records is given up with the lease.
const Register stale(
    "lease.stale_handle", "S8",
    [] {
      TinyDevice device({.streams = 2});
      TinyContext mine(device, 1);
      const StreamId held = device.streams().lease(mine.get(), "lease");
      bool ran = false;
      thread user([&] {
        const std::string rule =
            rule_of([&] { device.streams().record(held, task([&] { ran = true; }), "run"); });
        INTERLEAVE_EXPECT(rule.empty() || rule == "stale-stream");
      });
      device.streams().end_lease(nullptr, held.slot);
      const StreamId next = device.streams().lease(mine.get(), "lease");
      INTERLEAVE_EXPECT(next.generation == held.generation + 1);
      device.streams().commit(next, "commit");
      user.join();
      device.streams().commit(next, "commit");
      device.streams().end_lease(nullptr, next.slot);
      device.close();
      INTERLEAVE_EXPECT(!ran);
    },
    with_device());

// Two threads record in one stream and commit: each operation runs once, in one order of the two.
const Register two_record(
    "stream.two_record_and_commit", "S1 S2 S3 S7 B2 Q2",
    [] {
      TinyDevice device(by_hand({.streams = 2}));
      std::vector<int> ran;
      const StreamId stream = device.streams().default_stream();
      const auto use = [&](int number) {
        device.streams().record(stream, task([&ran, number] { ran.push_back(number); }), "run");
        device.streams().commit(stream, "commit");
      };
      thread other([&] { use(2); });
      use(1);
      other.join();
      device.backend().run_all();
      INTERLEAVE_EXPECT(ran.size() == 2 && ran[0] != ran[1]);
    },
    with_device());

// The host goes on when the work is done, and sees what it did.
// As a backend's stop does that has given up on the thread which asks: it may run only if it was not told
// yet.
const Register asked_late(
    "stream.asked_about_what_is_told", "B1 S2",
    [] {
      TinyDevice device(by_hand());
      const StreamId stream = device.streams().default_stream();
      device.streams().record(stream, task([] {}), "run");
      static_cast<void>(device.streams().commit(stream, "commit"));
      const Submission taken = device.backend().take_next();
      CompletionSink& sink = device.streams();
      thread asks([&] {
        const bool was_told = device.streams().timeline(stream.slot).completed() != 0;
        const Status verdict = sink.may_run(taken);
        INTERLEAVE_EXPECT(verdict.ok() ? !was_told : verdict.error().code() == ErrorCode::Closed);
      });
      sink.completed({taken.queue, taken.value}, Status(ErrorCode::Closed, "given up"), sync::now());
      asks.join();
    },
    with_device());

const Register waits(
    "stream.host_waits", "S2 B3 S4",
    [] {
      TinyDevice device({.streams = 2});
      const StreamId stream = device.streams().default_stream();
      int done = 0;
      device.streams().record(stream, task([&] { ++done; }), "run");
      device.streams().wait(stream, std::nullopt, "wait");
      INTERLEAVE_EXPECT(done == 1);
    },
    with_device());

// A wait for work that was not submitted: whoever submits it tells, or who waits finds it submitted.
const Register held_wait(
    "stream.waits_for_work_to_come", "S9 S7",
    [] {
      TinyDevice device(by_hand({.streams = 3}));
      TinyContext mine(device, 1);
      const StreamId first = device.streams().default_stream();
      const StreamId second = device.streams().lease(mine.get(), "lease");
      int order = 0;
      device.streams().record(first, task([&] { INTERLEAVE_EXPECT(order++ == 0); }), "run");
      thread committer([&] { device.streams().commit(first, "commit"); });
      device.streams().wait_for(second, {first.slot, 1}, "wait_event");
      device.streams().record(second, task([&] { INTERLEAVE_EXPECT(order++ == 1); }), "run");
      device.streams().commit(second, "commit");
      committer.join();
      device.backend().run_all();
      INTERLEAVE_EXPECT(order == 2);
      device.streams().end_lease(nullptr, second.slot);
    },
    with_device());

// What waits for work that nobody ever commits ends when that is given up.
const Register abandoned(
    "stream.waits_for_abandoned_work", "S5 S7 S9",
    [] {
      TinyDevice device(by_hand({.streams = 3}));
      TinyContext mine(device, 1), other(device, 2);
      const StreamId first = device.streams().lease(other.get(), "lease");
      const StreamId second = device.streams().lease(mine.get(), "lease");
      bool ran = false;
      device.streams().record(first, task([&] { ran = true; }), "run");
      thread leaver([&] { device.streams().end_lease(nullptr, first.slot); });
      device.streams().wait_for(second, {first.slot, 1}, "wait_event");
      device.streams().record(second, task([&] { ran = true; }), "run");
      const sync::Ref<BufferState> buffer = device.streams().commit(second, "commit");
      leaver.join();
      device.backend().run_all();
      INTERLEAVE_EXPECT(!ran);
      INTERLEAVE_EXPECT(buffer->status() == BufferStatus::failed);
      device.streams().end_lease(nullptr, second.slot);
    },
    with_device());

// The value of an event in the middle of a buffer is reached before the buffer's end.
const Register middle(
    "stream.waits_for_the_middle_of_a_buffer", "S1 S2",
    [] {
      TinyDevice device(by_hand({.streams = 2}));
      TinyContext mine(device, 1);
      const StreamId stream = device.streams().default_stream();
      const EventPool::Lease event = device.events().get(mine.get(), "event");
      int done = 0;
      device.streams().record(stream, task([&] { done = 1; }), "run");
      device.streams().set_mark(stream, device.events().slot(event.slot), "record");
      device.streams().record(stream, task(), "run");
      device.streams().commit(stream, "commit");
      thread runs([&] { INTERLEAVE_EXPECT(device.backend().run_next()); });
      device.streams().wait(TimelinePoint{stream.slot, 1}, std::nullopt, "wait");
      INTERLEAVE_EXPECT(done == 1);
      runs.join();
      INTERLEAVE_EXPECT(device.streams().timeline(stream.slot).completed() == 1);
      INTERLEAVE_EXPECT(device.backend().run_next());
      device.events().put(nullptr, event);
    },
    with_device());

// One buffer may be uncompleted: the second commit waits for the first to be done.
const Register back_pressure(
    "stream.back_pressure", "S1 S7",
    [] {
      TinyDevice device({.streams = 2, .max_uncompleted = 1});
      const StreamId stream = device.streams().default_stream();
      int done = 0;
      for (int i = 0; i < 2; ++i) {
        device.streams().record(stream, task([&, i] { INTERLEAVE_EXPECT(done++ == i); }), "run");
        device.streams().commit(stream, "commit");
        INTERLEAVE_EXPECT(device.streams().timeline(stream.slot).completed() >= static_cast<unsigned>(i));
      }
      device.streams().wait(stream, std::nullopt, "wait");
      INTERLEAVE_EXPECT(done == 2);
    },
    with_device());

const Register completion(
    "close.completion_against_close", "D1 S5 Q2",
    [] {
      TinyDevice device({.streams = 2});
      const StreamId stream = device.streams().default_stream();
      int done = 0;
      device.streams().record(stream, task([&] { ++done; }), "run");
      device.streams().commit(stream, "commit");
      device.close();  // what was committed runs
      INTERLEAVE_EXPECT(done == 1);
      INTERLEAVE_EXPECT(device.streams().timeline(stream.slot).completed() == 1);
    },
    with_device());

const Register commit_against_close(
    "close.commit_against_close", "D1 S5 B1",
    [] {
      TinyDevice device({.streams = 2});
      const StreamId stream = device.streams().default_stream();
      int done = 0;
      device.streams().record(stream, task([&] { ++done; }), "run");
      const sync::Ref<BufferState> buffer = device.streams().current_buffer(stream, "command_buffer");
      bool committed = false;
      thread user([&] {
        const std::string rule = rule_of([&] { device.streams().commit(*buffer, "commit"); });
        INTERLEAVE_EXPECT(rule.empty() || rule == to_string(ErrorCode::Closed));
        committed = rule.empty();
      });
      device.close();
      user.join();
      INTERLEAVE_EXPECT(done == (committed ? 1 : 0));
      INTERLEAVE_EXPECT(buffer->status() == (committed ? BufferStatus::completed : BufferStatus::closed));
    },
    with_device());

const Register record_by_holder_against_close(
    "close.record_by_holder_against_close", "D1 S5",
    [] {
      TinyDevice device({.streams = 2});
      TinyContext theirs(device, 1);
      const StreamId stream = device.streams().default_stream();
      bool recorded = false;
      thread user([&] {
        const std::string rule =
            rule_of([&] { device.streams().record(theirs.get(), stream, task([] {}), "run"); });
        INTERLEAVE_EXPECT(rule.empty() || rule == to_string(ErrorCode::Closed));
        recorded = rule.empty();
      });
      device.close();
      user.join();
      // What was recorded in time was given up with the rest.
      INTERLEAVE_EXPECT(device.streams().timeline(stream.slot).completed() == (recorded ? 1 : 0));
    },
    with_device());

const Register two_close(
    "close.two_close", "D1",
    [] {
      TinyDevice device({.streams = 2});
      TinyContext mine(device, 1);
      bool stopped = false;
      device.backend().when_stopped([&] { stopped = true; });
      const auto close = [&] {
        device.close();
        INTERLEAVE_EXPECT(!device.core().is_open());
        INTERLEAVE_EXPECT(stopped);
      };
      thread other(close);
      close();
      other.join();
    },
    with_device());

const Register last_handle(
    "close.last_handle", "D1 R1",
    [] {
      TinyDevice device({.streams = 2});
      static_cast<void>(
          sync::Ref<Core>::share(&device.core()).release());  // the first handle's; device keeps its own
      device.core().add_handle();
      int used[2] = {};  // by the owner of each handle, before that is dropped
      device.backend().when_stopped([&] { INTERLEAVE_EXPECT(used[0] == 1 && used[1] == 1); });
      thread other([&] {
        used[1] = 1;
        device.core().drop_handle();
      });
      used[0] = 1;
      device.core().drop_handle();
      other.join();
      INTERLEAVE_EXPECT(!device.core().is_open());
      INTERLEAVE_EXPECT(!device.core().try_add_handle());
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
