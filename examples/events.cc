// Events order work across streams without making the calling thread wait.
#include <millrace/millrace.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <vector>

int main() {
  constexpr std::size_t kBytes = std::size_t{1} << 20;
  constexpr int kFrames = 8;
  millrace::Device device = millrace::Device::open();

  // Two streams for this one thread; a lease returns its stream when it ends.
  millrace::StreamLease producer_lease = device.lease(), consumer_lease = device.lease();
  millrace::Stream producer = producer_lease.stream(), consumer = consumer_lease.stream();

  // A frame is filled by one stream and read by the other. Each event marks what its stream has recorded
  // when it is recorded; recording it again starts a new generation of it.
  millrace::Buffer frame = device.buffer(producer, kBytes);
  millrace::Event filled = device.event(), taken = device.event();
  millrace::Event begin = device.event(), end = device.event();
  std::vector<std::vector<std::uint8_t>> frames(kFrames, std::vector<std::uint8_t>(kBytes));

  begin.record(producer);
  for (int i = 0; i < kFrames; ++i) {
    producer.wait_event(taken);  // before its first record an event counts as done
    producer.fill(frame.data(), static_cast<std::uint8_t>(i + 1), kBytes);
    filled.record(producer);
    producer.commit();

    consumer.wait_event(filled);
    consumer.copy(frames[static_cast<std::size_t>(i)].data(), frame.data(), kBytes);
    taken.record(consumer);
    consumer.commit();
  }
  end.record(consumer);
  consumer.wait();  // the last copy, and so everything before it

  // The frame belongs to the producer's stream, where its memory may be reused at once: say that the
  // other stream used it too.
  device.record_use(frame.data(), consumer);
  frame.reset();

  int wrong = 0;
  for (int i = 0; i < kFrames; ++i) {
    const auto& got = frames[static_cast<std::size_t>(i)];
    wrong += static_cast<int>(std::count_if(got.begin(), got.end(), [i](int byte) { return byte != i + 1; }));
  }
  const auto microseconds = std::chrono::duration_cast<std::chrono::microseconds>(end.elapsed_since(begin));
  std::printf("%d frames of %zu bytes in %lld us, %d bytes wrong, event of generation %llu\n", kFrames,
              kBytes, static_cast<long long>(microseconds.count()), wrong,
              static_cast<unsigned long long>(filled.generation()));
  return wrong == 0 && filled.generation() == kFrames ? 0 : 1;
}
