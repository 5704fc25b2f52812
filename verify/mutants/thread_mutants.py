"""Mutants of what becomes of a device where the system has no thread left for it."""

from mutants import GONE, STUCK, WRONG, Mutant, mutant

DISPATCH_CC = "src/stream/dispatch.cc"
POOL_CC = "src/stream/pool.cc"
REGISTRY_CC = "src/device/registry.cc"
HOST_CC = "src/backends/host/queue.cc"
CUDA_CC = "src/backends/cuda/queue.cc"
TASKS_CC = "src/backends/cuda/task_threads.cc"

FIRST = "thread_failures.first_handler"
DROPPED = "thread_failures.last_handle_dropped_in_a_handler"
WORKERS = "worker_failures.any_of_two"
SECOND = "cuda_thread_failures.second_task_thread"
UNCAUGHT = ("exception",)

REFUSAL = """    throw Error(ErrorCode::OutOfMemory,
                std::string("the system has no thread to run handlers on: ") + error.what(),
                core_.error_context("adding a handler"));
"""
NO_THREAD = """  } catch (const std::system_error&) {
    // No thread to be had: it stays open until the process exits, which closes it.
"""

CORE = [
    mutant("no-thread-counts-as-started", "H1", DISPATCH_CC, "  if (started_) return;\n", "  if (started_) return;\n  started_ = true;\n", FIRST, STUCK,
           "handlers count as having a thread before it was made"),
    mutant("no-thread-is-not-said", "H1", DISPATCH_CC, REFUSAL, "    static_cast<void>(error);\n    return;\n", FIRST, WRONG + STUCK + ("leak",), "a handler is accepted that there is no thread for"),
    mutant("no-thread-is-said-otherwise", "H1", DISPATCH_CC, "catch (const std::system_error& error)", "catch (const std::bad_alloc& error)", FIRST, UNCAUGHT,
           "whoever adds a handler is told as the system tells it"),
    mutant("no-thread-for-what-was-added", "H1", POOL_CC, "  dispatcher_.start();\n  state_of(stream, call).add_handler(stream.generation, kind, std::move(handler), call);",
           "  state_of(stream, call).add_handler(stream.generation, kind, std::move(handler), call);\n  dispatcher_.start();", FIRST, WRONG + STUCK, "a handler is added before there is a thread for it"),
    mutant("no-thread-for-what-a-buffer-has", "H1", POOL_CC, "  dispatcher_.start();\n  buffer.stream().add_handler(buffer, kind, std::move(handler), call);",
           "  buffer.stream().add_handler(buffer, kind, std::move(handler), call);\n  dispatcher_.start();", "thread_failures.first_handler_of_a_buffer", WRONG + STUCK, "a buffer has a handler before there is a thread for it"),
    mutant("no-thread-to-close-on", "D1 H4", REGISTRY_CC, NO_THREAD, "", DROPPED + " registry.dropped_where_no_thread_is_left", UNCAUGHT, "dropping the last handle in a handler ends the process where there is no thread to close on"),
    mutant("no-memory-to-close-with", "D1 H4", REGISTRY_CC, "  } catch (const std::bad_alloc&) {\n  }\n}\n\nvoid Registry::at_exit", "  }\n}\n\nvoid Registry::at_exit", DROPPED, UNCAUGHT,
           "dropping the last handle in a handler ends the process where there is no memory for a thread"),
    mutant("no-thread-so-closed-here", "H4", REGISTRY_CC, "    sync::Thread([core = std::move(core)] { core->close(CloseMode::drain); }).detach();\n" + NO_THREAD,
           "    sync::Thread([core] { core->close(CloseMode::drain); }).detach();\n  } catch (const std::system_error&) {\n    core->close(CloseMode::drain);\n", DROPPED, STUCK + ("misuse",),
           "without a thread the handler's own closes the device, and waits for itself"),
]

BACKENDS = [
    mutant("no-thread-for-all-workers", "Q4", HOST_CC, "      (void)stop();  // nothing runs yet, so it only joins\n", "", WORKERS, WRONG + STUCK + UNCAUGHT,
           "workers go on although there are not as many as there should be"),
    mutant("no-thread-for-a-worker", "Q4", HOST_CC, "catch (const std::exception& error) {\n      (void)stop();", "catch (const std::bad_alloc& error) {\n      (void)stop();", WORKERS, UNCAUGHT,
           "a worker that can't be made is not expected"),
    mutant("no-thread-to-watch", "C1", CUDA_CC, "    (void)tasks_.stop(std::nullopt);\n    return Status", "    return Status", "cuda_thread_failures.either_of_two", STUCK + UNCAUGHT,
           "threads for tasks go on although nobody watches the device"),
    mutant("no-thread-for-a-task", "C1", TASKS_CC, "catch (const std::exception&) {\n      // Those", "catch (const std::bad_alloc&) {\n      // Those", SECOND, UNCAUGHT + GONE, "a task is refused although there is a thread that can run it"),
    mutant("no-thread-and-no-task", "C1", TASKS_CC, "      // Those that are there run it in their turn.\n", "      waiting_.pop_back();\n", SECOND, WRONG, "a task is lost with the thread that could not be made for it"),
    Mutant("no-thread-but-waited-for", "C1", TASKS_CC, (
        ("  const std::size_t index = threads_.size();\n", "  const std::size_t index = threads_.size();\n  ++live_;\n"),
        ("    throw;\n  }\n  ++live_;\n", "    throw;\n  }\n"),
    ), (SECOND,), STUCK, "a thread that could not be made counts as one whose end is waited for"),
]

SECTIONS = {
    "Threads that there are not": CORE,
    "Threads that the backends have not": BACKENDS,
}
