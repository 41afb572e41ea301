// Measures our informer, directly or through a broker, in the same way and words as the peers beside it.
//
//   informer_bench --kubeconfig F | --broker URL --cluster NAME   [--window SECONDS] [--trigger http://host:port/path]
//                                                          [--events N] [--store NAME] [--reads]
#include <malloc.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <condition_variable>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iostream>
#include <mutex>
#include <thread>

#include "tinf/sdk/informer.h"

namespace {

using namespace std::chrono;
using namespace tinf;
namespace asio = boost::asio;

constexpr const char* kSent = "/metadata/annotations/firehose.transport-informer.io~1sent";

// What the handler sees while it is open.
struct Window {
  std::mutex mutex;
  bool open = false;
  bool synced = false;
  std::condition_variable changed;
  std::uint64_t updates = 0;
  std::vector<std::int64_t> latencies;

  void update(const Object& object) {
    const auto now = duration_cast<nanoseconds>(system_clock::now().time_since_epoch()).count();
    const auto sent = object.string_at(kSent);
    std::lock_guard lock(mutex);
    if (!open) return;
    ++updates;
    if (sent && latencies.size() < 5'000'000) latencies.push_back(now - std::strtoll(sent->c_str(), nullptr, 10));
  }
};

long memory(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(field)) return std::strtol(line.c_str() + field.size(), nullptr, 10) * 1024;
  }
  return 0;
}

void post(const std::string& url) {
  if (url.empty()) return;
  const std::string rest = url.substr(url.find("//") + 2);
  const std::string address = rest.substr(0, rest.find('/')), path = rest.substr(rest.find('/'));
  asio::io_context context;
  asio::ip::tcp::resolver resolver(context);
  asio::ip::tcp::socket socket(context);
  asio::connect(socket, resolver.resolve(address.substr(0, address.find(':')), address.substr(address.find(':') + 1)));
  asio::write(socket, asio::buffer("POST " + path + " HTTP/1.0\r\nHost: " + address + "\r\nContent-Length: 0\r\n\r\n"));
  std::string answer;
  boost::system::error_code end;
  asio::read(socket, asio::dynamic_buffer(answer), end);
}

// The firehose's change number e is made to object (e - 1) modulo their number, which then says so.
long not_in_last_state(const sdk::Informer& informer, long events) {
  const auto objects = informer.list();
  const auto count = static_cast<long>(objects.size());
  return std::ranges::count_if(objects, [&](const ObjectPtr& object) {
    const long number = std::strtol(std::string(object->name()).c_str() + std::strlen("settings-"), nullptr, 10);
    const long last = number >= events ? 0 : number + 1 + (events - 1 - number) / count * count;
    return std::strtol(object->string_at("/data/revision").value_or("-1").c_str(), nullptr, 10) != last;
  });
}

double thread_seconds() {
  timespec used{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
}

// Objects read whole by their keys, in no order, by one thread: in a second of its CPU time.
double reads_per_second(const sdk::Informer& informer) {
  std::vector<ObjectKey> keys;
  for (const ObjectPtr& object : informer.list()) keys.push_back(object->key());
  constexpr std::size_t kStep = 7919;  // A prime.
  const double began = thread_seconds();
  std::size_t reads = 0, bytes = 0;
  while (thread_seconds() - began < 2) {
    for (int i = 0; i < 1000; ++i) bytes += informer.get(keys[++reads * kStep % keys.size()])->raw().size();
  }
  if (bytes == 0) std::abort();  // It is used, so that none of it is left out.
  return static_cast<double>(reads) / (thread_seconds() - began);
}

double quantile(const std::vector<std::int64_t>& sorted, double q) {
  return sorted.empty()
             ? 0
             : static_cast<double>(sorted[static_cast<std::size_t>(q * static_cast<double>(sorted.size() - 1))]) / 1e6;
}

}  // namespace

int main(int argc, char** argv) {
  sdk::Kubeconfig kubeconfig;
  sdk::Broker broker{.client_id = "informer-bench"};
  double seconds_open = 10;
  std::string trigger;
  long events = 0;
  bool reads_too = false;
  sdk::InformerOptions how;
  CLI::App app("Measures our informer");
  app.add_option("--kubeconfig", kubeconfig.path);
  app.add_option("--broker", broker.url);
  app.add_option("--cluster", broker.cluster);
  app.add_option("--window", seconds_open);
  app.add_option("--trigger", trigger);
  app.add_option("--events", events,
                 "how many changes the firehose makes: at the end, is every object in its last state?");
  app.add_option("--store", how.store);
  app.add_flag("--reads", reads_too, "for two seconds read whole objects by their keys, before the window");
  CLI11_PARSE(app, argc, argv);

  auto cluster = broker.url.empty() ? sdk::Cluster::open(kubeconfig) : sdk::Cluster::open(broker);
  if (!cluster) return std::cerr << cluster.error().message << "\n", 1;
  Window window;
  const auto began = steady_clock::now();
  auto informer = sdk::Informer::open(*cluster, sdk::Query{.resource = "configmaps"}, how);
  if (!informer) return std::cerr << informer.error().message << "\n", 1;
  sdk::Handlers handlers;
  handlers.on_update = [&](const ObjectPtr&, const ObjectPtr& now) { window.update(*now); };
  handlers.on_synced = [&] {
    std::lock_guard lock(window.mutex);
    window.synced = true;
    window.changed.notify_all();
  };
  auto registration = informer->add(std::move(handlers));
  if (!registration) return std::cerr << registration.error().message << "\n", 1;
  std::unique_lock lock(window.mutex);
  window.changed.wait(lock, [&] { return window.synced; });
  const double sync = duration<double>(steady_clock::now() - began).count();
  const long peak = memory("VmHWM:");
  malloc_trim(0);  // As the peer gives its garbage back.
  const long settled = memory("VmRSS:");
  const auto objects = static_cast<long>(informer->size());
  lock.unlock();
  double reads = 0;
  if (reads_too && objects > 0) {
    reads = reads_per_second(*informer);
    malloc_trim(0);
  }
  lock.lock();

  double measured = 0;
  if (seconds_open > 0) {
    lock.unlock();
    post(trigger);
    lock.lock();
    window.open = true;
    lock.unlock();
    const auto opened = steady_clock::now();
    std::this_thread::sleep_for(duration<double>(seconds_open));
    lock.lock();
    window.open = false;
    measured = duration<double>(steady_clock::now() - opened).count();
    std::sort(window.latencies.begin(), window.latencies.end());
  }
  long differing = -1;  // Not asked.
  if (lock.owns_lock()) lock.unlock();
  for (int tries = 0; events > 0 && tries < 300; ++tries) {
    differing = not_in_last_state(*informer, events);
    if (differing == 0) break;
    std::this_thread::sleep_for(milliseconds(100));
  }
  std::printf(
      "{\"peer\":\"transport-informer\",\"mode\":\"%s\",\"objects\":%ld,\"syncSeconds\":%.3f,\"rssPeakBytes\":%ld,"
      "\"rssSettledBytes\":%ld,\"rssSettledBytesPerObject\":%ld,\"readsPerSecond\":%.0f,\"windowSeconds\":%.3f,"
      "\"updates\":%llu,"
      "\"updatesPerSecond\":%.0f,\"latencyP50Milliseconds\":%.3f,\"latencyP99Milliseconds\":%.3f,"
      "\"latencyMaxMilliseconds\":%.3f,\"differing\":%ld}\n",
      broker.url.empty() ? "direct" : "broker", objects, sync, peak, settled, settled / std::max(objects, 1L), reads,
      measured, static_cast<unsigned long long>(window.updates),
      measured > 0 ? static_cast<double>(window.updates) / measured : 0, quantile(window.latencies, 0.5),
      quantile(window.latencies, 0.99), quantile(window.latencies, 1), differing);
  return 0;
}
