// millrace bench alloc: what allocations, leases and events cost, by thread count, beside peers in the same
// run.
#include "bench_alloc.h"

#include <gnu/libc-version.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include <millrace/device.h>

#include "bench/alloc_field.h"
#include "bench/options.h"
#include "bench/status_line.h"
#include "command.h"
#include "formats/file_format_error.h"
#include "interrupt.h"
#include "json_output.h"
#include "open_device.h"
#include "table.h"
#include "usage_error.h"

namespace millrace::tool {
namespace {

/// What allocators get that are given memory at their start, as their users are told to, where all are there
/// at once.
constexpr std::uint64_t kInitialBytes = std::uint64_t{12} << 30U;
/// What takes longer than this is measured once.
constexpr std::chrono::seconds kLong{1};

/// Each allocator is made for a case, and nobody else has memory then.
bool is_fresh(AllocMode mode) {
  return mode == AllocMode::random || mode == AllocMode::multistream;
}

bool takes_part(millrace_peer_role role, AllocMode mode) {
  if (mode == AllocMode::growth) return role == MILLRACE_PEER_PLAIN;
  if (mode == AllocMode::random) return true;
  return role == MILLRACE_PEER_ALLOCATOR || (role == MILLRACE_PEER_PLAIN && mode == AllocMode::multistream);
}

/// What all modes of a run have in common.
class Run {
 public:
  explicit Run(const AllocBenchRequest& request) : request_(request), mimalloc_(find_mimalloc()) {
    const std::filesystem::path folder = peer_folder(request.peers);
    name_ = split_device_name(create_device(request.device, {}).info().name);
    catalog_ = open_peers(folder, name_.kind);
  }

  AllocBenchResult all() {
    AllocBenchResult result;
    for (const AllocMode mode : request_.modes) {
      if (interrupted()) break;
      AllocBenchResult::Table table = measure(mode);
      if (!table.rows.empty()) result.tables.push_back(std::move(table));
    }
    if (result.tables.empty() && !interrupted()) {
      throw UsageError(fmt::format("--case: expected parts of the cases' names, as 4 KiB, found {}",
                                   printable(fmt::format("{}", fmt::join(request_.cases, ",")))));
    }
    result.peers = notes();
    return result;
  }

 private:
  bool has_host_peers(AllocMode mode) const {
    // Beside a GPU's allocator they show what malloc costs on that machine.
    if (mode == AllocMode::pair) return true;
    return name_.kind == "host" && (mode == AllocMode::handoff || mode == AllocMode::large ||
                                    mode == AllocMode::shared || mode == AllocMode::random);
  }

  std::vector<int> threads(AllocMode mode) const {
    if (mode == AllocMode::growth || is_fresh(mode)) return {1};
    if (!request_.threads.empty()) return request_.threads;
    // A pair is two threads.
    if (name_.kind == "host" || mode == AllocMode::handoff) return {1, 2, 4, 8};
    return {1, 2, 4, 8, 16};
  }

  bool is_wanted(const std::string& name) const {
    return request_.cases.empty() || std::ranges::any_of(request_.cases, [&](const std::string& part) {
             return name.find(part) != std::string::npos;
           });
  }

  AllocField field(AllocMode mode) {
    AllocField made;
    made.device_name = request_.device;
    // Two streams a thread, and the default one: nobody has to share.
    for (const int count : threads(mode)) {
      made.options.streams = std::max(made.options.streams, 2 * count + 1);
    }
    made.device = create_device(request_.device, made.options);
    made.number = name_.number;
    made.on_host = name_.kind == "host";
    made.mimalloc = mimalloc_.get();
    made.host_peers = has_host_peers(mode);
    made.duration = std::chrono::milliseconds(request_.milliseconds);
    if (mode == AllocMode::lease || mode == AllocMode::event || mode == AllocMode::query) return made;
    for (const millrace_peer* const peer : catalog_.peers) {
      if (!takes_part(peer->role, mode)) continue;
      if (is_fresh(mode)) {
        made.fresh_peers.push_back(peer);
        continue;
      }
      try {
        made.peers.push_back(std::make_unique<PeerAllocator>(*peer, name_.number, kInitialBytes));
      } catch (const PeerFailure& failure) {
        note_failure(mode, peer->name, failure.what());
      }
    }
    return made;
  }

  static AllocMeasurement measurement(AllocMode mode, AllocField& field) {
    switch (mode) {
      case AllocMode::handoff: return handoff_measurement(field);
      case AllocMode::crossstream: return crossstream_measurement(field);
      case AllocMode::growth: return growth_measurement(field);
      case AllocMode::random: return random_measurement(field);
      case AllocMode::multistream: return multistream_measurement(field);
      case AllocMode::lease:
      case AllocMode::event:
      case AllocMode::query: return pool_measurement(mode, field);
      default: return pair_measurement(mode, field);
    }
  }

  AllocBenchResult::Table measure(AllocMode mode) {
    AllocField participants = field(mode);
    AllocMeasurement measured = measurement(mode, participants);
    std::erase_if(measured.cases, [&](const AllocCase& c) { return !is_wanted(c.name); });
    using Key = std::tuple<std::string, int, std::string>;  // case, threads, allocator
    std::map<Key, std::vector<double>> values;
    std::set<std::string> out;  // peers that could not go on
    std::set<Key> through;      // what is not measured again
    for (int repetition = 0; repetition < request_.repetitions; ++repetition) {
      for (const AllocCase& c : measured.cases) {
        for (const int count : threads(mode)) {
          for (const AllocContestant& contestant : measured.contestants) {
            const Key key{c.name, count, contestant.impl};
            if (interrupted() || out.contains(contestant.impl) || through.contains(key)) continue;
            status_.show(fmt::format("{}, {} threads, {}", c.name, count, contestant.impl));
            const auto start = std::chrono::steady_clock::now();
            try {
              const double value = contestant.measure(c, count);
              for (const auto& peer : participants.peers) {
                if (peer->name() == contestant.impl) peer->check();
              }
              values[key].push_back(value);
            } catch (const CaseFailure& failure) {
              through.insert(key);
              note_failure(mode, contestant.impl, fmt::format("{}: {}", c.name, failure.what()));
            } catch (const PeerFailure& failure) {
              out.insert(contestant.impl);
              note_failure(mode, contestant.impl, failure.what());
            }
            if (std::chrono::steady_clock::now() - start > kLong) through.insert(key);
          }
        }
      }
    }
    status_.show("");
    AllocBenchResult::Table table{mode, {}, {}};
    for (const AllocContestant& contestant : measured.contestants) table.impls.push_back(contestant.impl);
    for (const AllocCase& c : measured.cases) {
      for (const int count : threads(mode)) {
        for (const AllocContestant& contestant : measured.contestants) {
          const auto found = values.find({c.name, count, contestant.impl});
          if (found == values.end() || found->second.empty()) continue;
          table.rows.push_back(
              {"alloc", c.name, "", contestant.impl, count, median(found->second), info_of(mode).unit});
        }
      }
    }
    return table;
  }

  void note_failure(AllocMode mode, const std::string& peer, const std::string& why) {
    failures_[peer] += fmt::format("; failed in {}: {}", info_of(mode).name, why);
  }

  PeerNote note(const std::string& name, const std::string& version) const {
    const auto failed = failures_.find(name);
    return {name, version + (failed == failures_.end() ? std::string() : failed->second)};
  }

  std::vector<PeerNote> notes() const {
    std::vector<PeerNote> all{
        {"glibc", ::gnu_get_libc_version()},
        {"mimalloc", mimalloc_ ? "its shared library" : "absent: libmimalloc is not installed"}};
    if (failures_.contains("millrace")) all.push_back(note("millrace", "this build"));
    for (const millrace_peer* const peer : catalog_.peers) all.push_back(note(peer->name, peer->version));
    all.insert(all.end(), catalog_.absent.begin(), catalog_.absent.end());
    return all;
  }

  const AllocBenchRequest& request_;
  std::unique_ptr<MimallocBlocks> mimalloc_;
  DeviceName name_;
  PeerCatalog catalog_;
  std::map<std::string, std::string> failures_;  // by allocator
  StatusLine status_;
};

void print_table(const AllocBenchResult::Table& found) {
  const AllocModeInfo& info = info_of(found.mode);
  std::vector<Table::Column> columns{{info.title}, {"threads", Align::right}};
  for (const std::string& impl : found.impls) columns.push_back({impl, Align::right});
  Table table(std::move(columns));
  const std::string_view per = info.unit;
  const std::string_view unit = per.substr(0, per.find('/'));
  std::set<std::pair<std::string, int>> done;
  for (const BenchRow& row : found.rows) {
    if (!done.insert({row.name, row.threads}).second) continue;
    std::vector<std::string> cells{row.name, std::to_string(row.threads)};
    for (const std::string& impl : found.impls) {
      const auto value =
          find_value(found.rows, {row.bench, row.name, row.dtype, impl, row.threads, 0, row.unit});
      cells.push_back(value ? fmt::format("{:.1f} {}", *value, unit) : "-");
    }
    table.add(std::move(cells));
  }
  table.print(stdout);
  fmt::print("{}\n", info.definition);
}

nlohmann::ordered_json json_of(const AllocBenchResult& result) {
  std::vector<BenchRow> rows;
  nlohmann::ordered_json modes = nlohmann::ordered_json::object();
  for (const AllocBenchResult::Table& table : result.tables) {
    rows.insert(rows.end(), table.rows.begin(), table.rows.end());
    modes[info_of(table.mode).name] = info_of(table.mode).definition;
  }
  nlohmann::ordered_json document = bench_json(rows);
  document["modes"] = std::move(modes);
  document["peers"] = nlohmann::ordered_json::object();
  for (const PeerNote& peer : result.peers) document["peers"][peer.name] = peer.text;
  return document;
}

}  // namespace

AllocBenchResult bench_alloc(const AllocBenchRequest& request) {
  return Run(request).all();
}

void print_alloc_bench(const AllocBenchResult& result) {
  for (const AllocBenchResult::Table& table : result.tables) {
    if (&table != &result.tables.front()) fmt::print("\n");
    print_table(table);
  }
  for (const PeerNote& peer : result.peers) {
    if (peer.text.find("absent: ") == 0 || peer.text.find("; failed in ") != std::string::npos) {
      fmt::print("{}: {}\n", peer.name, peer.text);
    }
  }
}

Command bench_alloc_command(CLI::App& parent) {
  CLI::App* const app = parent.add_subcommand(
      "alloc",
      "Allocations, leases and events, by thread count, beside glibc, mimalloc and CUDA's allocators");
  struct Request {
    AllocBenchRequest bench;
    std::vector<std::string> modes{"pair"};
    std::string threads;
    std::string json;
  };
  const auto request = std::make_shared<Request>();
  app->add_option("--mode", request->modes,
                  fmt::format("What to measure, with commas between: {}", alloc_mode_names()))
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str();
  app->add_option("--case", request->bench.cases,
                  "Only the cases that have one of these, with commas between, in their names")
      ->delimiter(',')
      ->allow_extra_args(false);
  app->add_option("--threads", request->threads,
                  "Thread counts, with commas between; in mode handoff, of pairs of threads")
      ->default_str("1,2,4,8; on cuda 16 too");
  app->add_option("--device", request->bench.device, "auto, host, or a name from `millrace devices`")
      ->capture_default_str();
  app->add_option("--peers", request->bench.peers, "A folder of peers that scripts/build-peers has made")
      ->default_str("peers, beside this program");
  app->add_option("--repetitions", request->bench.repetitions, "Of each row; the median is shown")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app->add_option("--milliseconds", request->bench.milliseconds, "Of each repetition")
      ->check(CLI::Range(1, 60'000))
      ->capture_default_str();
  app->add_option("--json", request->json, "Write JSON to a file, or to standard output for -");
  app->parse_complete_callback([request] {
    request->bench.modes = parse_alloc_modes(request->modes);
    if (!request->threads.empty()) request->bench.threads = parse_threads(request->threads);
  });
  return {app, [request] {
            catch_interrupts();
            JsonOutput json(request->json);
            const AllocBenchResult result = bench_alloc(request->bench);
            nlohmann::ordered_json document = json_of(result);
            if (interrupted()) document["partial"] = true;
            json.write(document);
            if (!json.is_stdout()) print_alloc_bench(result);
            if (interrupted() && !json.is_stdout()) fmt::print("partial: interrupted\n");
            return interrupted() ? kInterrupted : kDone;
          }};
}

}  // namespace millrace::tool
