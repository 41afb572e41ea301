// What a database takes: copies of many clusters go in, are changed and are read, by the store alone.
// Prints one line of JSON. Objects are pods of some 3.3 KiB (or --bytes), of texts that do not repeat.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "tinf/base/runtime.h"
#include "tinf/wiring/stores.h"

using namespace tinf;

namespace {

struct Options {
  std::string store = "memory:";
  std::string format;
  std::size_t objects = 100'000;
  std::size_t clusters = 10;
  std::size_t bytes = 3300;
  std::size_t updates = 50'000;
  std::size_t reads = 20'000;
};

double seconds_since(std::chrono::steady_clock::time_point began) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

std::size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t pages = 0, resident = 0;
  file >> pages >> resident;
  return resident * 4096;
}

ObjectPtr pod(std::size_t number, std::uint64_t version, std::size_t bytes) {
  const std::string n = std::to_string(number);
  std::string text = R"({"kind":"Pod","apiVersion":"v1","metadata":{"name":"web-)" + n + R"(","namespace":"team-)" +
                     std::to_string(number % 50) + R"(","uid":"00000000-0000-4000-8000-)" +
                     std::string(12 - std::min<std::size_t>(12, n.size()), '0') + n + R"(","resourceVersion":")" +
                     std::to_string(version) + R"(","labels":{"app":"app-)" + std::to_string(number % 200) +
                     R"(","tier":"web","version":"v)" + std::to_string(number % 7) + R"(","pod-template-hash":"h)" +
                     std::to_string(number / 3) +
                     R"("},"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"rs-)" +
                     std::to_string(number / 3) + R"(","uid":"10000000-0000-4000-8000-)" + std::to_string(number / 3) +
                     R"(","controller":true}]},"spec":{"nodeName":"node-)" + std::to_string(number % 1000) +
                     R"("},"status":{"phase":"Running","message":")";
  std::uint64_t state = number * 2654435761u + version;
  while (text.size() + 4 < bytes) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    text += "word" + std::to_string(state >> 52) + " ";
  }
  return Object::parse(text + "\"}}").value();
}

Task<Result<double>> fill(FleetStore& fleet, std::vector<std::unique_ptr<Store>>& copies, const Options& options) {
  const std::size_t each = options.objects / options.clusters;
  double seconds = 0;
  for (std::size_t c = 0; c < options.clusters; ++c) {
    Scope scope;
    scope.resource = Resource{"", "v1", "pods"};
    auto copy = fleet.open("cluster" + std::to_string(c), scope);
    if (!copy) co_return copy.error();
    Snapshot all;
    all.version = ResourceVersion("1");
    for (std::size_t i = 0; i < each; ++i) all.objects.push_back(pod(c * each + i, 1, options.bytes));
    const auto began = std::chrono::steady_clock::now();
    auto stored = co_await (*copy)->replace(std::move(all));
    if (!stored) co_return stored.error();
    seconds += seconds_since(began);
    copies.push_back(std::move(*copy));
  }
  co_return seconds;
}

Task<Result<double>> update(std::vector<std::unique_ptr<Store>>& copies, const Options& options) {
  constexpr std::size_t kBatch = 256;  // As a watch brings them.
  const std::size_t each = options.objects / options.clusters;
  double seconds = 0;
  std::uint64_t version = 2;
  for (std::size_t done = 0; done < options.updates; done += kBatch) {
    const std::size_t c = done / kBatch % options.clusters;
    EventBatch batch;
    for (std::size_t i = 0; i < kBatch; ++i)
      batch.events.push_back(
          WatchEvent::modified(pod(c * each + (done * 7919 + i * 104729) % each, ++version, options.bytes)));
    batch.version = ResourceVersion(std::to_string(version));
    const auto began = std::chrono::steady_clock::now();
    auto stored = co_await copies[c]->apply(std::move(batch));
    if (!stored) co_return stored.error();
    seconds += seconds_since(began);
  }
  co_return seconds;
}

struct Reading {
  double gets_per_second = 0;
  double page_p50 = 0, page_p99 = 0;
  double labelled_p50 = 0, labelled_p99 = 0;
};

Task<Result<Reading>> read(FleetStore& fleet, const Options& options) {
  Reading reading;
  const std::size_t each = options.objects / options.clusters;
  auto began = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < options.reads; ++i) {
    const std::size_t n = i * 7919 % (each * options.clusters);
    FleetPlace place;
    place.cluster = "cluster" + std::to_string(n / each);
    place.key = ObjectKey{"team-" + std::to_string(n % 50), "web-" + std::to_string(n)};
    auto found = co_await fleet.get("pods", std::move(place));
    if (!found || !*found) co_return Error(Code::Internal, "an object is missing");
  }
  reading.gets_per_second = static_cast<double>(options.reads) / seconds_since(began);
  for (const bool labelled : {false, true}) {
    std::vector<double> took;
    for (std::size_t i = 0; i < 200; ++i) {
      FleetQuery query;
      query.collection = "pods";
      query.limit = 500;
      if (labelled) query.labels = LabelSelector::parse("app=app-" + std::to_string(i)).value();
      const std::size_t n = i * 104729 % (each * options.clusters);
      FleetPlace after;
      after.cluster = "cluster" + std::to_string(n / each);
      after.key = ObjectKey{"team-" + std::to_string(n % 50), "web-" + std::to_string(n)};
      if (!labelled) query.after = after;
      began = std::chrono::steady_clock::now();
      auto page = co_await fleet.list(std::move(query));
      if (!page) co_return page.error();
      took.push_back(seconds_since(began));
    }
    std::ranges::sort(took);
    (labelled ? reading.labelled_p50 : reading.page_p50) = took[took.size() / 2];
    (labelled ? reading.labelled_p99 : reading.page_p99) = took[took.size() * 99 / 100];
  }
  co_return reading;
}

Task<void> run(Runtime& runtime, const Options& options, int& code) {
  const bool in_memory = options.store.starts_with("memory:");
  const auto name = options.format.empty() || in_memory ? Result<std::string>(options.store)
                                                        : wiring::store_in_format(options.store, options.format);
  auto fleet = name ? wiring::open_fleet_store(runtime, *name, true) : name.error();
  if (!fleet) {
    std::fprintf(stderr, "store_bench: %s\n", fleet.error().message.c_str());
    code = 1;
    co_return;
  }
  const std::size_t before = resident_bytes();
  std::vector<std::unique_ptr<Store>> copies;
  auto filled = co_await fill(**fleet, copies, options);
  auto updated = filled ? co_await update(copies, options) : Result<double>(filled.error());
  const std::size_t resident = resident_bytes();
  auto reading = updated ? co_await read(**fleet, options) : Result<Reading>(updated.error());
  if (!reading) {
    std::fprintf(stderr, "store_bench: %s\n", reading.error().message.c_str());
    code = 1;
    co_return;
  }
  std::printf(
      "{\"objects\":%zu,\"ingestPerSecond\":%.0f,\"updatesPerSecond\":%.0f,\"getsPerSecond\":%.0f,\"pageP50\":%.6f,"
      "\"pageP99\":%.6f,\"labelledP50\":%.6f,\"labelledP99\":%.6f,\"rssBytes\":%zu}\n",
      options.objects, static_cast<double>(options.objects) / *filled, static_cast<double>(options.updates) / *updated,
      reading->gets_per_second, reading->page_p50, reading->page_p99, reading->labelled_p50, reading->labelled_p99,
      resident > before ? resident - before : 0);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("what a store takes and gives");
  app.add_option("--store", options.store);
  app.add_option("--store-format", options.format);
  app.add_option("--objects", options.objects);
  app.add_option("--clusters", options.clusters);
  app.add_option("--bytes", options.bytes);
  app.add_option("--updates", options.updates);
  app.add_option("--reads", options.reads);
  CLI11_PARSE(app, argc, argv);
  asio::io_context loop(1);
  RealClock clock;
  Metrics metrics;
  Random random = Random::from_entropy();
  Runtime runtime{loop.get_executor(), clock, Log(), metrics, random};
  int code = 0;
  TaskGroup tasks(runtime.executor);
  tasks.spawn(run(runtime, options, code));
  loop.run();
  return code;
}
