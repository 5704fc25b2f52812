"""Mutants of who runs and who reports what was submitted: the host's queue, and the CUDA backend's."""

from mutants import GONE, RACE, STUCK, WRONG, Mutant, mutant

HOST_CC = "src/backends/host/queue.cc"
ONE = "host_queue.submit_against_worker"
IN_ORDER = "host_queue.in_order"
GIVEN_UP = "host_queue.given_up_while_it_reports"
SPREAD = "host_queue.spread"

TELL = "  sink_.completed(point, status, finished);\n\n  mutex_.lock();\n"
STOP_DECIDES = """      strand->phase.compare_exchange_strong(found, Phase::abandoned, std::memory_order_acq_rel,
                                            std::memory_order_acquire);
"""

WORKER_DECIDES = """strand.phase.compare_exchange_strong(expected, Phase::reporting, std::memory_order_acq_rel,
                                            std::memory_order_acquire)"""

TAKEN_TWICE = RACE + WRONG + ("crash",)  # whoever takes a strand the second time finds no submission

HOST_QUEUE = [
    mutant("host-reports-the-next-first", "Q2", HOST_CC, "    if (found == Phase::reporting) continue;\n", "", GIVEN_UP, WRONG,
           "stop reports what follows a submission that its worker is reporting"),
    mutant("host-worker-leaves-the-rest", "Q2", HOST_CC, "    report_pending(strand);  // stop has left them to us\n", "", GIVEN_UP, STUCK,
           "a worker that was given up on while it reported leaves what follows to nobody"),
    mutant("host-worker-reports-all-the-same", "Q2", HOST_CC, "    mutex_.lock();  // it is there: stop keeps it forever then\n    return false;\n", "    expected = Phase::running;\n",
           GIVEN_UP, WRONG, "a worker that was given up on reports what stop has reported"),
    mutant("host-stop-guesses-the-phase", "Q2", HOST_CC, STOP_DECIDES, """      found = strand->phase.load(std::memory_order_acquire);
      if (found == Phase::running) strand->phase.store(Phase::abandoned, std::memory_order_release);
""", GIVEN_UP, WRONG, "who reports what runs is looked up and then written, in two steps"),
    Mutant("host-phase-relaxed", "Q2", HOST_CC, tuple(
        (decides, decides.replace("acq_rel", "relaxed").replace("memory_order_acquire", "memory_order_relaxed")) for decides in (WORKER_DECIDES, STOP_DECIDES)
    ), (GIVEN_UP,), RACE + WRONG, "who reports what runs is decided without an order",
           harmless="Of two exchanges of one word one comes first in any order. Who loses reads nothing that the other wrote: stop goes on to the next strand, a worker to the mutex; and what the winner tells is published by the sink."),
    Mutant("host-cancelled-relaxed", "Q2", HOST_CC, (
        ("cancelled_.load(std::memory_order_acquire)", "cancelled_.load(std::memory_order_relaxed)"),
        ("cancelled_.store(true, std::memory_order_release)", "cancelled_.store(true, std::memory_order_relaxed)"),
    ), ("host_queue.cancel",), RACE + WRONG, "that the queues were cancelled publishes nothing",
           harmless="The failure that is reported then was made with the queues, and all else that cancel changes is under the mutex."),
    mutant("host-submit-wakes-nobody", "Q4", HOST_CC, "      advance(strand);\n      wake_workers(0);\n    }\n    return {};", "      advance(strand);\n    }\n    return {};",
           ONE, STUCK, "a strand becomes ready and no worker is woken"),
    mutant("host-spinner-does-not-look-again", "Q4", HOST_CC, "if (ready_count_ > 0 || spreads_ != nullptr || stopping_) continue;", "if (stopping_) continue;", ONE, STUCK,
           "the worker that others count on to look again sleeps instead"),
    mutant("host-stop-wakes-nobody", "Q4", HOST_CC, "    stopping_ = true;\n    wake_all();\n", "    stopping_ = true;\n", ONE, STUCK, "workers sleep on when their queues are stopped"),
    mutant("host-parked-is-forgotten", "Q1 Q4", HOST_CC, "    strand.waiters = waiter.next;\n    advance(waiter);\n  }\n  advance(strand);", "    strand.waiters = waiter.next;\n  }\n  advance(strand);",
           "host_queue.parked", STUCK, "a strand is parked nowhere any more and moves on no further"),
    mutant("host-strand-in-two-places", "Q1", HOST_CC, "    *place = &strand;\n    return;\n", "    *place = &strand;\n    break;\n", "host_queue.parked", TAKEN_TWICE,
           "a strand that is parked is on the ready list, too"),
    Mutant("host-reached-before-told", "Q2", HOST_CC, (
        (TELL, "  mutex_.lock();\n  reach(strand, point.value);\n  wake_workers(0);\n  mutex_.unlock();\n" + TELL),
        ("  reach(strand, point.value);\n  wake_workers(helpers);\n  return true;", "  wake_workers(helpers);\n  return true;"),
    ), (IN_ORDER,), RACE + WRONG, "what follows runs before the sink is told of what it follows"),
    mutant("host-tells-under-the-lock", "Q3", HOST_CC, TELL, "  mutex_.lock();\n  sink_.completed(point, status, finished);\n", "host_queue.submit_from_completion", STUCK,
           "the sink is told with the queues' mutex locked"),
    mutant("host-spread-leaves-its-helpers", "Q5", HOST_CC, "  while (spread.helpers > 0) helped_.wait(lock);\n", "", SPREAD, GONE + WRONG,
           "a spread operation ends while others still do units of it"),
    mutant("host-unit-done-twice", "Q5", HOST_CC, "    const std::int64_t unit = spread.next.fetch_add(1, std::memory_order_relaxed);\n    if",
           "    const std::int64_t unit = spread.next.load(std::memory_order_relaxed);\n    spread.next.store(unit + 1, std::memory_order_relaxed);\n    if", SPREAD, RACE + WRONG,
           "a helper takes a unit in two steps"),
]

QUEUE_CC = "src/backends/cuda/queue.cc"
COMPLETION_CC = "src/backends/cuda/completion.cc"
HELD_CC = "src/backends/cuda/held.cc"
STOP_CC = "src/backends/cuda/stop.cc"
WATCHER_CC = "src/backends/cuda/watcher.cc"
THREADS_CC = "src/backends/cuda/task_threads.cc"
ASLEEP = "cuda_completion.asleep"
BEHIND = "cuda_completion.behind_a_failure"
THREADS_END = "cuda_completion.task_threads_end"

FAILED_STORE = "      queue.last_failure.store(flight.value, std::memory_order_release);\n    } else if"
REACHED_STORE = "    queue.reached.store(flight.value, std::memory_order_release);\n"
HANDED_STORE = "      queue.handed.store(flight.value, std::memory_order_release);\n    queue.underway"

CUDA_COMPLETION = [
    mutant("cuda-underway-relaxed", "C6", QUEUE_CC, "queue.underway.fetch_add(1, std::memory_order_seq_cst);", "queue.underway.fetch_add(1, std::memory_order_relaxed);",
           ASLEEP, STUCK, "what is added and whether the watcher sleeps: store buffering"),
    mutant("cuda-doze-relaxed", "C6", WATCHER_CC, "doze_.load(std::memory_order_seq_cst)", "doze_.load(std::memory_order_relaxed)", ASLEEP, STUCK,
           "whoever adds something may have looked before whether the watcher sleeps"),
    mutant("cuda-sleeps-without-a-look", "C6", WATCHER_CC, "while (!wake_ && !stopping_ && underway() == 0)", "while (!wake_ && !stopping_)", ASLEEP, STUCK,
           "the watcher says that it sleeps and does not look again for what is underway"),
    mutant("cuda-notifies-before-it-says", "C6", WATCHER_CC, "  sync::LockGuard lock(mutex_);\n  wake_ = true;\n  woken_.notify_one();", "  woken_.notify_one();\n  sync::LockGuard lock(mutex_);\n  wake_ = true;",
           ASLEEP, STUCK, "the watcher is notified before what it waits for is so"),
    mutant("cuda-submit-wakes-nobody", "C6", QUEUE_CC, "    wake(ahead ? Urgency::low : Urgency::high);\n", "", ASLEEP, STUCK, "who adds something does not wake the watcher"),
    mutant("cuda-stop-wakes-nobody", "C6", STOP_CC, "    wake_ = true;\n    woken_.notify_all();\n", "    wake_ = true;\n", ASLEEP, STUCK, "the watcher sleeps on when the queues are stopped"),
    mutant("cuda-watcher-ends-unheard", "C1", WATCHER_CC, "  watcher_ended_ = true;\n  woken_.notify_all();\n", "  watcher_ended_ = true;\n", ASLEEP, STUCK, "nobody is told that the watcher has ended"),
    mutant("cuda-two-report", "C1 C2", COMPLETION_CC, "  if (queue.reporting || queue.abandoned) return false;\n", "  if (queue.abandoned) return false;\n", "cuda_completion.assist", GONE + WRONG,
           "two threads report for one queue"),
    mutant("cuda-turn-while-it-reports", "C1 C2", QUEUE_CC, "!queue.flights.empty() || queue.reporting)", "!queue.flights.empty())", "cuda_completion.task_behind_work", RACE + WRONG,
           "the turn of what is held comes while what is before it is being reported"),
    mutant("cuda-reports-no-waits", "C4", COMPLETION_CC, "  if (flight.waits.empty()) return true;\n", "  if (flight.waits.empty() || depth == 0) return true;\n", "cuda_completion.across_queues", RACE + WRONG,
           "what the device has done is reported before what it waited for"),
    Mutant("cuda-reached-before-told", "C4", COMPLETION_CC, (
        (REACHED_STORE, ""),
        ("    lock.unlock();\n    {\n      const OwnScope own(this);\n      sink_.completed(", REACHED_STORE + "    lock.unlock();\n    {\n      const OwnScope own(this);\n      sink_.completed("),
    ), (BEHIND,), RACE + WRONG, "what waits on the host may have its turn before the sink is told"),
    mutant("cuda-reached-relaxed", "C4", COMPLETION_CC, REACHED_STORE, REACHED_STORE.replace("release", "relaxed"), BEHIND, RACE, "a value that was reported publishes nothing"),
    Mutant("cuda-failure-after-handed", "C3", COMPLETION_CC, (
        (FAILED_STORE, "    } else if"),
        (HANDED_STORE, HANDED_STORE.replace("    queue.underway", "    if (!status.ok()) queue.last_failure.store(flight.value, std::memory_order_release);\n    queue.underway")),
    ), (BEHIND,), WRONG, "a value is handed on before its failure is noted"),
    mutant("cuda-failure-not-looked-at", "C3", QUEUE_CC, "  if (!std::ranges::all_of(submission.dependencies, has_not_failed)) return false;\n", "", BEHIND, WRONG,
           "what depends on a failure goes to the device, and nobody is asked"),
    mutant("cuda-tells-under-the-lock", "C5", COMPLETION_CC, "    lock.unlock();\n    {\n      const OwnScope own(this);\n      sink_.completed({queue.id, flight.value}, status, when);\n    }\n    lock.lock();\n",
           "    {\n      const OwnScope own(this);\n      sink_.completed({queue.id, flight.value}, status, when);\n    }\n", "cuda_completion.submit_from_completion", STUCK,
           "the sink is told with the queue's mutex locked"),
    mutant("cuda-threads-end-with-work-left", "C1", THREADS_CC, "    if (waiting_.empty()) break;\n", "    if (stopping_) break;\n", THREADS_END, WRONG, "threads for tasks end while tasks wait for one"),
    mutant("cuda-threads-are-not-woken", "C1", THREADS_CC, "  changed_.notify_one();\n", "", "cuda_completion.task_threads_run", STUCK, "a task waits and the idle thread sleeps on"),
    mutant("cuda-threads-stop-unheard", "C1", THREADS_CC, "    stopping_ = true;\n    changed_.notify_all();\n", "    stopping_ = true;\n", THREADS_END, STUCK, "idle threads for tasks are not told to end"),
]

LENT_CC = "src/backends/cuda/lent_events.cc"
WRAPPED_CC = "src/backends/cuda/wrapped.cc"
NATIVE_STREAM_CC = "src/backends/cuda/native_stream.cc"
CUDA_GIVEN_UP = "cuda_stop.given_up_while_it_reports"
GIVES_UP = "cuda_stop.gives_up_on_a_task"
LOST = "cuda_lost.with_work_in_flight"
CAPTURED = "cuda_wrapped.captured_meanwhile"

LOSE = "  lose(lost_with(result, \"asked how far the device has come\"));\n"

CUDA_ENDS = [
    mutant("cuda-gives-up-in-secret", "C1", STOP_CC, "  queue.abandoned = true;\n", "", GIVES_UP, RACE + WRONG + ("crash",),
           "a task's thread that was given up on reports what stop has reported"),
    mutant("cuda-destroys-what-it-gave-up", "C1", HELD_CC, "  queue.finishing = !queue.abandoned;\n", "  queue.finishing = true;\n", GIVES_UP + " cuda_stop.given_up_while_it_asks", WRONG + RACE,
           "a thread that was given up on destroys what it ran, or was not to run"),
    mutant("cuda-reports-beside-who-reports", "C1", STOP_CC, "    if (!queue->reporting && !queue->finishing) report_left(", "    report_left(", CUDA_GIVEN_UP, GONE + WRONG + ("crash",),
           "stop reports what somebody else is about to report"),
    mutant("cuda-leaves-the-rest", "C1", COMPLETION_CC, "  if (queue.given_up && !queue.finishing) report_left(queue, plain_only);\n", "", CUDA_GIVEN_UP, STUCK,
           "whoever was reporting when stop gave up leaves the rest of the queue to nobody"),
    mutant("cuda-finishing-never-ends", "C1", QUEUE_CC, "  queue.finishing = false;  // in one with that: whoever fills next may be finishing\n", "", CUDA_GIVEN_UP, STUCK,
           "whoever has destroyed what it ran goes on counting as destroying it"),
    mutant("cuda-stop-forgets-what-flies", "C1", STOP_CC, "    queue.flights.pop_front();\n    tell_left(queue, value, status);\n", "    queue.flights.pop_front();\n    static_cast<void>(value);\n", GIVES_UP, WRONG,
           "stop reports what is held and leaves out what is in flight"),
    mutant("cuda-loss-has-no-status", "C1", COMPLETION_CC, LOSE + "  if (status.ok()) status = verdict();\n", LOSE, LOST, WRONG, "work that the device was lost with is reported as done"),
    mutant("cuda-loss-is-not-noted", "C1", COMPLETION_CC, LOSE, "", LOST, WRONG, "nobody hears of a loss but who asked first, and that one not why"),
    mutant("cuda-threads-one-too-few", "C1", THREADS_CC, "waiting_.size() > idle_ &&", "waiting_.size() > idle_ + 1 &&", "cuda_tasks.two_run_at_once", STUCK,
           "no thread is made for a task that none will take before another has ended"),
]

CUDA_OTHERS = [
    mutant("cuda-lent-is-free-once-reported", "C8", QUEUE_CC, "    loan.in_flight = false;  // upholds C8\n    return;\n", "    loan.in_flight = false;  // upholds C8\n", "cuda_lent.not_recorded_meanwhile", RACE + WRONG,
           "an event is free as soon as what it marks was reported, whoever has it"),
    mutant("cuda-lent-is-free-once-returned", "C8", LENT_CC, "if (loan == queue.loans.end() || --loan->holders != 0) return;", "if (loan == queue.loans.end()) return;", "cuda_lent.two_have_it", RACE + WRONG,
           "an event is free as soon as one of those who have it has returned it"),
    mutant("cuda-returned-is-free-in-flight", "C8", LENT_CC, "  if (!loan->in_flight) put_event(", "  put_event(", "cuda_lent.returned_in_flight", GONE + WRONG + ("double free",),
           "an event that is returned is free while what it marks is in flight"),
    mutant("cuda-given-up-is-not-marked", "C7", HELD_CC, "    fill(queue, std::move(item), std::move(refused));  // upholds C7\n", "    item.reset();\n    end(queue, {}, std::move(refused));\n",
           "cuda_wrapped.given_up_behind_its_owner", RACE + WRONG, "what is refused on a wrapped stream is reported without a look at what is on it"),
    mutant("cuda-captured-is-done", "C7", QUEUE_CC, "      *mark = {taken, false};\n", "      (void)driver().event_destroy(taken);\n", CAPTURED, WRONG,
           "what can't be put on a stream that is being captured is reported at once"),
    mutant("cuda-gone-is-done", "C7", QUEUE_CC, "    } else {\n      queue.stream.finish();\n    }\n    return usable;\n", "    }\n    return usable;\n", "cuda_wrapped.destroyed_by_its_owner", WRONG,
           "nothing is waited for where the wrapped stream is gone"),
    mutant("cuda-task-before-the-owners", "C7", HELD_CC, "    queue.stream.finish();\n    if (!usable.ok()) return usable;\n", "    if (!usable.ok()) return usable;\n", "cuda_wrapped.task_behind_its_owner", WRONG,
           "a task on a wrapped stream does not wait for what its owner has put there"),
    mutant("cuda-marks-while-it-is-filled", "C2", WRAPPED_CC, "  if (queue.filling) return false;  // upholds C2\n", "", "cuda_wrapped.marked_after_a_capture", RACE,
           "what a capture held up is marked while somebody else puts work on the stream"),
    mutant("cuda-expects-beside-who-fills", "C12", WRAPPED_CC, "      if (!queue.filling && queue.touching == 0) {\n", "      if (queue.touching == 0) {\n",
           "cuda_wrapped.expected_beside_a_submission", WRONG, "a capture is expected while work is being put on the stream"),
    mutant("cuda-expected-is-filled", "C12", WRAPPED_CC, "  if (is_capture_expected(queue)) return true;\n", "", "cuda_wrapped.expected_beside_a_submission", WRONG,
           "work is put on a stream that is about to be captured"),
    mutant("cuda-expected-is-asked", "C12", WRAPPED_CC, "  return is_capture_expected(queue) ? queue.stream.captured() : queue.stream.check();\n", "  return queue.stream.check();\n",
           "cuda_wrapped.expected_beside_questions", WRONG, "a stream that is about to be captured is asked for its number"),
    mutant("cuda-lasting-is-asked", "C15", NATIVE_STREAM_CC, "  if (identity_.lasts) return true;  // upholds C15\n", "", "cuda_wrapped.lasting", WRONG,
           "a stream that lasts is asked for its number while it is wrapped"),
    mutant("cuda-captured-is-asked", "C15", WRAPPED_CC, "if (result == CUDA_SUCCESS && captured.ok()) result", "if (result == CUDA_SUCCESS) result", "cuda_wrapped.lasting", WRONG,
           "a stream is asked for its number as it is wrapped inside of a capture"),
]

TICKETS_CC = "src/backends/cuda/reduce/tickets.cc"
PACKS_CC = "src/backends/cuda/reduce/packs.cc"
AROUND = "cuda_packs.around_other_work"

PACKS = [
    mutant("tickets-taken-without-lock", "C13", TICKETS_CC, "  sync::LockGuard lock(mutex_);\n  for (int i", "  for (int i", "cuda_packs.two_streams_take_tickets", RACE + WRONG,
           "two streams take a set of tickets at once"),
    mutant("tickets-given-back-without-lock", "C13", TICKETS_CC, "  sync::LockGuard lock(mutex_);\n  taken_.reset", "  taken_.reset",
           "cuda_packs.tickets_given_back_beside_another", RACE + WRONG, "a set is given back while another stream looks for one"),
    mutant("pack-takes-what-conflicts", "C11", PACKS_CC, "  if (!hazards_.allows(touched)) {\n", "  if (false) {\n", "cuda_packs.what_conflicts_is_launched_later", WRONG,
           "a reduction of another one's result shares its launch"),
    mutant("packs-left-open", "C1", "src/backends/cuda/queue.cc", "  Status launched = queue.stream.launch_gathered();\n", "  Status launched;\n", AROUND, WRONG,
           "what tells of a submission's end is recorded before its reductions are launched"),
    mutant("other-work-overtakes-packs", "C1", "src/backends/cuda/gather.cc", "    Status failure = launch_gathered();\n", "    Status failure;\n", AROUND, WRONG,
           "an operation of another kind is put on the stream before the reductions that come before it"),
]

SECTIONS = {
    "The host's queue": HOST_QUEUE,
    "The CUDA backend's completion": CUDA_COMPLETION,
    "The CUDA backend's stops, losses and threads for tasks": CUDA_ENDS,
    "The CUDA backend's streams and events of others": CUDA_OTHERS,
    "Reductions that share launches": PACKS,
}
