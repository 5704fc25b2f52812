// Loads a plugin that uses the shared library, uses it on many threads, and unloads it while threads that
// have used it live on.
#include <dlfcn.h>

#include <barrier>
#include <thread>
#include <vector>

#include "lifecycle/program.h"

namespace {

using Function = void (*)();

Function symbol(void* library, const char* name) {
  const auto found = reinterpret_cast<Function>(dlsym(library, name));
  if (found == nullptr) millrace::test::fail("dlsym:", dlerror());
  return found;
}

}  // namespace

int main() {
  using millrace::test::fail;
  millrace::test::limit_process(120);
  constexpr int kThreads = 8;
  for (int round = 0; round < 5; ++round) {
    void* library = dlopen(MILLRACE_TEST_PLUGIN, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) fail("dlopen:", dlerror());
    symbol(library, "plugin_start")();
    const Function work = symbol(library, "plugin_work");
    std::barrier step(kThreads + 1);
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&] {
        for (int n = 0; n < 5; ++n) work();
        step.arrive_and_wait();
        step.arrive_and_wait();  // unloaded; the thread's own state on the device ends with the thread
      });
    }
    step.arrive_and_wait();
    if (dlclose(library) != 0) fail("dlclose:", dlerror());
    step.arrive_and_wait();
    for (std::thread& thread : threads) thread.join();
  }
  return 0;
}
