// Beast for HTTP, prometheus-cpp for the exposition format.
#include "tinf/daemon/health_server.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <limits>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "tinf/base/first_of.h"
#include "tinf/base/listen_address.h"

namespace tinf::daemon {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;

constexpr std::size_t kConnections = 64;
constexpr Duration kRequestDeadline = std::chrono::seconds(10);

prometheus::MetricType type_of(Metrics::Kind kind) {
  switch (kind) {
    case Metrics::Kind::Counter:
      return prometheus::MetricType::Counter;
    case Metrics::Kind::Gauge:
      return prometheus::MetricType::Gauge;
    case Metrics::Kind::Histogram:
      return prometheus::MetricType::Histogram;
  }
  return prometheus::MetricType::Untyped;
}

prometheus::ClientMetric::Histogram histogram_of(const Metrics::Sample& sample) {
  prometheus::ClientMetric::Histogram histogram;
  histogram.sample_count = sample.cumulative.back();
  histogram.sample_sum = sample.value;
  for (std::size_t i = 0; i < sample.cumulative.size(); ++i) {
    prometheus::ClientMetric::Bucket bucket;
    bucket.cumulative_count = sample.cumulative[i];
    bucket.upper_bound = i < sample.bounds.size() ? sample.bounds[i] : std::numeric_limits<double>::infinity();
    histogram.bucket.push_back(bucket);
  }
  return histogram;
}

std::string exposition(const std::vector<Metrics::Family>& families) {
  std::vector<prometheus::MetricFamily> out;
  for (const Metrics::Family& family : families) {
    prometheus::MetricFamily one;
    one.name = family.name;
    one.help = family.help;
    one.type = type_of(family.kind);
    for (const Metrics::Sample& sample : family.samples) {
      prometheus::ClientMetric metric;
      for (const auto& [name, value] : sample.labels) metric.label.push_back({name, value});
      if (family.kind == Metrics::Kind::Counter) metric.counter.value = sample.value;
      if (family.kind == Metrics::Kind::Gauge) metric.gauge.value = sample.value;
      if (family.kind == Metrics::Kind::Histogram) metric.histogram = histogram_of(sample);
      one.metric.push_back(std::move(metric));
    }
    out.push_back(std::move(one));
  }
  return prometheus::TextSerializer().Serialize(out);
}

class BeastHealthServer final : public HealthServer {
 public:
  BeastHealthServer(Runtime& runtime, tcp::acceptor acceptor, std::function<Readiness()> readiness,
                    std::function<std::vector<Metrics::Family>()> families)
      : runtime_(runtime),
        acceptor_(std::move(acceptor)),
        readiness_(std::move(readiness)),
        families_(std::move(families)),
        connections_(runtime.executor) {}

  Task<void> run() override {
    while (true) {
      boost::system::error_code error;
      tcp::socket socket = co_await acceptor_.async_accept(asio::redirect_error(asio::use_awaitable, error));
      if (error) {
        co_await runtime_.clock.sleep_for(std::chrono::milliseconds(100));  // Out of descriptors, say.
      } else if (connections_.running() < kConnections) {
        connections_.spawn(serve(std::move(socket)));
      }
    }
  }

 private:
  Task<void> serve(tcp::socket socket) {
    (void)co_await first_of(answer(socket), runtime_.clock.sleep_for(kRequestDeadline));
  }

  Task<void> answer(tcp::socket& socket) {
    beast::flat_buffer buffer(8192);
    http::request<http::empty_body> request;
    boost::system::error_code error;
    co_await http::async_read(socket, buffer, request, asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return;
    http::response<http::string_body> response = respond(std::string(request.target()));
    response.version(11);
    response.keep_alive(false);
    response.prepare_payload();
    co_await http::async_write(socket, response, asio::redirect_error(asio::use_awaitable, error));
    socket.shutdown(tcp::socket::shutdown_both, error);
  }

  http::response<http::string_body> respond(const std::string& target) {
    http::response<http::string_body> response(http::status::ok, 11);
    response.set(http::field::content_type, "text/plain; version=0.0.4; charset=utf-8");
    const std::string path = target.substr(0, target.find('?'));
    if (path == "/livez") {
      response.body() = "ok\n";
    } else if (path == "/readyz") {
      const Readiness now = readiness_();
      response.result(now.missing.empty() ? http::status::ok : http::status::service_unavailable);
      response.body() = now.missing.empty() ? "ok" : "not ready: " + now.missing;
      if (!now.remark.empty()) response.body() += "; " + now.remark;
      response.body() += "\n";
    } else if (path == "/metrics") {
      response.body() = exposition(families_());
    } else {
      response.result(http::status::not_found);
      response.body() = "there is /livez, /readyz and /metrics\n";
    }
    return response;
  }

  Runtime& runtime_;
  tcp::acceptor acceptor_;
  const std::function<Readiness()> readiness_;
  const std::function<std::vector<Metrics::Family>()> families_;
  TaskGroup connections_;
};

}  // namespace

Result<void> check_listen(const std::string& listen) {
  const auto endpoint = parse_listen_address(listen);
  if (!endpoint) return endpoint.error();
  return Result<void>();
}

Result<std::unique_ptr<HealthServer>> HealthServer::open(Runtime& runtime, const std::string& listen,
                                                         std::function<Readiness()> readiness,
                                                         std::function<std::vector<Metrics::Family>()> families) {
  const auto parsed = parse_listen_address(listen);
  if (!parsed) return parsed.error();
  const tcp::endpoint endpoint = *parsed;
  boost::system::error_code error;
  tcp::acceptor acceptor(runtime.executor);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return Error(Code::Unavailable, "--listen " + listen + ": " + error.message() + "; choose another port");
  const tcp::endpoint bound = acceptor.local_endpoint(error);
  runtime.log.with("health").info("listening",
                                  {{"address", bound.address().to_string()}, {"port", std::to_string(bound.port())}});
  std::unique_ptr<HealthServer> server =
      std::make_unique<BeastHealthServer>(runtime, std::move(acceptor), std::move(readiness), std::move(families));
  return server;
}

}  // namespace tinf::daemon
