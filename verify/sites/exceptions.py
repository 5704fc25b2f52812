"""Call sites that two threads of one scenario do not come by, by the reason why."""

# Reason: [(file, function, code of the line)]
EXCEPTIONS = {
    "There is one such thread in a device. What others do beside it goes through the same mutex in push, wait_until_idle and "
    "stop, and the figures that it writes are read by two.": [
        ("src/stream/dispatch.cc", "Dispatcher::work", "sync::UniqueLock lock(mutex_);"),
        ("src/stream/dispatch.cc", "Dispatcher::work", "while (jobs_.empty() && !stopping_) work_.wait(lock);"),
        ("src/stream/dispatch.cc", "Dispatcher::work", "lock.unlock();"),
        ("src/stream/dispatch.cc", "Dispatcher::work", "lock.lock();"),
        ("src/stream/dispatch.cc", "Dispatcher::work", "told_changed_.notify_all();"),
        ("src/stream/dispatch.cc", "Dispatcher::tell", "sync::add_single_writer(exceptions_, std::uint64_t{1});"),
        ("src/stream/dispatch.cc", "Dispatcher::tell", "sync::add_single_writer(run_, std::uint64_t{1});"),
    ],
    "Whoever makes a pool, under the list's mutex: nobody has anything of the source yet.": [
        ("src/memory/sourced_segments.h", "set", "misaligns_.store(false, std::memory_order_relaxed);"),
    ],
    "The forked child has one thread.": [
        ("src/device/fork.cc", "enter_child", "in_child.store(true, std::memory_order_relaxed);"),
    ],
    "The registry notes in a plain variable that the process is prepared, which a run can't take back: it would not do the "
    "same again. tests/conformance/lifecycle_test.cc opens and closes in six threads under ThreadSanitizer; open, add, find, "
    "forget and what is prepared have scenarios.": [
        ("src/device/registry.cc", "Registry::create", "sync::LockGuard opening(opening_);"),
    ],
    "The exit handler of the process, which runs once, after any run. What it calls for each device, close, has a scenario.": [
        ("src/device/registry.cc", "Registry::close_all_for_exit", "sync::LockGuard lock(mutex_);"),
    ],
    "A pause between two looks at what another thread holds. Each round takes a lock, so that rounds of two such threads beside "
    "the one that they wait for can't be explored as a whole; one is.": [
        ("src/memory/slow.cc", "Allocator::allocate_slow", "sync::sleep_for(Context::kOperation);"),
        ("src/stream/lease.cc", "LeaseTable::take_back_parked", "sync::sleep_for(Context::kOperation);"),
    ],
    "A pause while the backend holds back what it has accepted. The scenarios' backend does so only where nobody waits for "
    "it; tests/unit/backend_cuda (native_test.cc, wrapped_lease_test.cc) waits here.": [
        ("src/stream/pool.cc", "StreamPool::open_native", "sync::yield();"),
        ("src/stream/wrapped.cc", "WrappedStreams::end", "sync::sleep_for(kPause);"),
    ],
    "A statistic, added to after eight fruitless looks for a stream to share: two threads that look so often can't be explored "
    "as a whole. The same counter is added to by two threads where they do share.": [
        ("src/stream/pool.cc", "StreamPool::lease", "shared_leases_.fetch_add(1, std::memory_order_relaxed);"),
    ],
    "The requests of a report, of blocks that are 64 KiB larger than what was asked for: those of the scenarios are smaller. It "
    "is written and read as Block::slack is, by whoever those come by, and the exact figures have conformance tests.": [
        ("src/memory/block.h", "set_unasked", "much_slack.store(static_cast<std::uint32_t>(bytes), std::memory_order_relaxed);"),
        ("src/memory/block.h", "unasked", "return bytes < kMuchSlack ? bytes : much_slack.load(std::memory_order_relaxed);"),
    ],
    "The checker knows the start of a thread by a line of its own.": [
        ("src/sync/thread.h", "Thread", "explicit Thread(F body) : thread_(std::move(body)) {}"),
    ],
}


def places() -> list:
    return [place for those in EXCEPTIONS.values() for place in those]
