// transport_bench: how many messages a second go from one MqttTransport through a broker to another, each in a thread.
// Usage: transport_bench HOST PORT [QOS]; the broker is the user's, with max_queued_messages 0.
#include <cstdio>
#include <cstdlib>
#include <thread>

#include <boost/asio/io_context.hpp>

#include "tinf/transport/mqtt/mqtt_transport.h"

namespace tinf {
namespace {

struct Side {
  Side(const char* host, int port, int qos, const std::string& client_id) {
    MqttOptions options;
    options.host = host;
    options.port = port;
    options.qos = qos;
    options.client_id = client_id;
    transport = std::move(*MqttTransport::open(runtime, options));
  }

  asio::io_context context{1};
  RealClock clock;
  Metrics metrics;
  Random random = Random::from_entropy();
  Runtime runtime{context.get_executor(), clock, Log(), metrics, random};
  std::unique_ptr<MqttTransport> transport;
};

Task<void> until_connected(Transport& transport) {
  while (!transport.connected()) (void)co_await transport.receive();
}

Task<void> send(Transport& transport, int count, std::size_t bytes) {
  co_await until_connected(transport);
  Message message;
  message.topic = "bench/transport";
  message.attributes = {{"specversion", "1.0"}, {"type", "bench"}, {"source", "bench"}, {"sequence", "1"}};
  message.body.assign(bytes, 'x');
  for (int i = 0; i < count; ++i) {
    const Result<void> sent = co_await transport.publish(message);
    if (!sent) std::fprintf(stderr, "%s\n", sent.error().message.c_str());
  }
  std::optional<Message> nothing;
  co_await transport.close(nothing);
}

Task<void> count_arrivals(Transport& transport, int count, double& seconds) {
  TimePoint first{};
  for (int arrived = 0; arrived < count;) {
    const TransportEvent event = co_await transport.receive();
    if (!std::holds_alternative<Message>(event)) continue;
    if (arrived++ == 0) first = std::chrono::steady_clock::now();
  }
  seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - first).count();
  std::optional<Message> nothing;
  co_await transport.close(nothing);
}

Task<void> listen(Transport& transport) {
  co_await until_connected(transport);
  const Result<void> subscribed = co_await transport.subscribe("bench/transport");
  if (!subscribed) std::fprintf(stderr, "%s\n", subscribed.error().message.c_str());
}

void measure(const char* host, int port, int qos, std::size_t bytes, int count) {
  Side receiver(host, port, qos, "bench-receiver");
  TaskGroup receiving(receiver.context.get_executor());
  receiving.spawn(listen(*receiver.transport));
  receiver.context.run_for(std::chrono::milliseconds(1));
  while (receiving.running() > 0) receiver.context.run_one();

  double seconds = 0;
  receiving.spawn(count_arrivals(*receiver.transport, count, seconds));
  std::thread sender([=] {
    Side side(host, port, qos, "bench-sender");
    TaskGroup sending(side.context.get_executor());
    sending.spawn(send(*side.transport, count, bytes));
    while (sending.running() > 0) side.context.run_one();
  });
  while (receiving.running() > 0) receiver.context.run_one();
  sender.join();
  std::printf("QoS %d  %6zu bytes  %8.0f messages/s  %7.1f MB/s\n", qos, bytes, count / seconds,
              static_cast<double>(bytes) * count / seconds / 1e6);
}

}  // namespace
}  // namespace tinf

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: transport_bench HOST PORT [QOS]\n");
    return 2;
  }
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const int qos = argc > 3 ? std::atoi(argv[3]) : 1;
  tinf::measure(argv[1], std::atoi(argv[2]), qos, 3300, 100000);
  tinf::measure(argv[1], std::atoi(argv[2]), qos, 32768, 30000);
  tinf::measure(argv[1], std::atoi(argv[2]), qos, 65536, 20000);
}
