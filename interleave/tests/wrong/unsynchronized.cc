// Plain data that threads share without anything between them.
#include "support/wrong.h"

namespace interleave::test {
namespace {

TEST(Wrong, TwoWriters) {
  expect_wrong(Verdict::race, [] {
    var<int> data = 0;
    parallel([&] { data.set(1); },   // <-- TwoWriters
             [&] { data.set(2); });  // <-- TwoWriters
  });
}

TEST(Wrong, ReaderAndWriter) {
  expect_wrong(Verdict::race, [] {
    var<int> data = 0;
    parallel([&] { data.get(); },    // <-- ReaderAndWriter
             [&] { data.set(2); });  // <-- ReaderAndWriter
  });
}

// The writer looks at the data afterwards: its read must not hide its write.
TEST(Wrong, ReadBehindTheWrite) {
  expect_wrong(Verdict::race, [] {
    var<int> data = 0;
    parallel(
        [&] {
          data.set(1);  // <-- ReadBehindTheWrite
          data.get();
        },
        [&] { data.get(); });  // <-- ReadBehindTheWrite
  });
}

TEST(Wrong, ReadBeforeTheJoin) {
  expect_wrong(Verdict::race, [] {
    var<int> data = 0;
    thread writer([&] { data.set(1); });  // <-- ReadBeforeTheJoin
    data.get();                           // <-- ReadBeforeTheJoin
    writer.join();
  });
}

TEST(Wrong, WrittenAfterTheStart) {
  expect_wrong(Verdict::race, [] {
    var<int> data = 0;
    thread reader([&] { data.get(); });  // <-- WrittenAfterTheStart
    data.set(1);                         // <-- WrittenAfterTheStart
    reader.join();
  });
}

// Joining one thread says nothing of another.
TEST(Wrong, TheWrongThreadJoined) {
  expect_wrong(Verdict::race, [] {
    var<int> data = 0;
    thread writer([&] { data.set(1); });  // <-- TheWrongThreadJoined
    thread other([] {});
    other.join();
    data.get();  // <-- TheWrongThreadJoined
    writer.join();
  });
}

TEST(Wrong, RelaxedCounterIsNoLock) {
  expect_wrong(Verdict::race, [] {
    atomic<int> turn{0};
    var<int> data = 0;
    const auto work = [&] {
      if (turn.fetch_add(1, memory_order_relaxed) == 1) {
        data.set(2);  // <-- RelaxedCounterIsNoLock
      } else {
        data.set(1);  // <-- RelaxedCounterIsNoLock
      }
    };
    parallel(work, work);
  });
}

// Whoever comes last frees; relaxed, it does not know that the other has finished.
TEST(Wrong, ReferenceCountRelaxed) {
  expect_wrong(Verdict::race, [] {
    atomic<int> references{2};
    var<int> data = 0;
    const auto release = [&] {
      data.get();                                                            // <-- ReferenceCountRelaxed
      if (references.fetch_sub(1, memory_order_relaxed) == 1) data.set(-1);  // <-- ReferenceCountRelaxed
    };
    parallel(release, release);
  });
}

TEST(Wrong, LazyInitialisation) {
  expect_wrong(Verdict::race, [] {
    var<bool> initialised = false;
    const auto get = [&] {
      if (!initialised.get()) initialised.set(true);  // <-- LazyInitialisation
    };
    parallel(get, get);
  });
}

}  // namespace
}  // namespace interleave::test
