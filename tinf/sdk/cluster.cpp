#include "tinf/sdk/cluster.h"

#include <boost/asio/ip/host_name.hpp>
#include <map>

#include "tinf/base/first_of.h"
#include "tinf/follower/broker_session.h"
#include "tinf/kube/discovery.h"
#include "tinf/kube/kube_lister_watcher.h"
#include "tinf/kube/kubeconfig.h"
#include "tinf/sdk/inside/cluster_core.h"
#include "tinf/wiring/transports.h"

namespace tinf::sdk {
namespace {

class DirectCluster final : public ClusterCore {
 public:
  DirectCluster(kube::Connection connection, Log log) : engine_(std::move(log)) {
    engine_.call([&] { client_ = std::make_unique<kube::RestClient>(engine_.runtime(), std::move(connection)); });
  }
  ~DirectCluster() override {
    engine_.call([&] { client_ = nullptr; });
  }

  Engine& engine() override { return engine_; }

  Task<Result<std::vector<ResourceInfo>>> offered(TimePoint deadline) override {
    Backoff backoff(engine_.runtime().clock, engine_.runtime().random);
    while (true) {
      auto found = co_await within(engine_.runtime().clock, deadline, kube::discover(*client_));
      if (found && *found) {
        gaps_.say(*client_, std::move((*found)->gaps));
        co_return std::move((*found)->resources);
      }
      const Error why = found ? found->error() : Error(Code::Timeout, "no answer from " + client_->connection().server);
      const Duration wait = backoff.next();
      const bool passing =
          why.code == Code::Unavailable || why.code == Code::Timeout || why.code == Code::TooManyRequests;
      if (!passing) co_return why;
      if (engine_.runtime().clock.now() + wait > deadline) {
        co_return Error(Code::Unavailable, "the API server cannot be asked what it has: " + why.message);
      }
      co_await engine_.runtime().clock.sleep_for(wait);
    }
  }

  std::unique_ptr<ListerWatcher> open(const StoreReader*) override {
    return std::make_unique<kube::KubeListerWatcher>(*client_);
  }
  bool following(const Scope&) const override { return true; }
  std::optional<Error> ended() const override { return std::nullopt; }
  bool one_source_a_scope() const override { return false; }

 private:
  Engine engine_;
  std::unique_ptr<kube::RestClient> client_;
  kube::GapLog gaps_;
};

class ClusterBehindBroker final : public ClusterCore {
 public:
  ClusterBehindBroker(const Broker& where, Log log) : cluster_(where.cluster), engine_(std::move(log)) {}
  ~ClusterBehindBroker() override {
    if (session_ == nullptr) return;
    engine_.run(close());
  }

  Result<void> start(const Broker& where) {
    return engine_.call([&]() -> Result<void> {
      wiring::BrokerOptions broker;
      broker.url = where.url;
      broker.client_id = where.client_id;
      broker.qos = where.qos;
      broker.tls = where.tls;
      broker.ca_file = where.ca_file;
      broker.certificate_file = where.certificate_file;
      broker.key_file = where.key_file;
      broker.username = where.username;
      broker.password_file = where.password_file;
      auto transport = wiring::open_transport(engine_.runtime(), broker, std::nullopt);
      if (!transport) return transport.error();
      transport_ = std::move(*transport);

      SessionOptions options;
      options.client = where.client_id;
      boost::system::error_code nameless;
      options.host = asio::ip::host_name(nameless);
      options.instance = std::to_string(engine_.runtime().random.next());
      options.started =
          std::chrono::duration_cast<std::chrono::milliseconds>(engine_.runtime().clock.wall_now().time_since_epoch())
              .count();
      options.topics = wire::Topics(where.signal, where.payload);
      options.clusters = {where.cluster};
      session_ = std::make_unique<BrokerSession>(engine_.runtime(), *transport_, std::move(options));
      session_->on_cluster([this](const ClusterView&) { seen_.notify(); });
      tasks_ = std::make_unique<TaskGroup>(engine_.runtime().executor);
      tasks_->spawn(keep_running());
      return Result<void>();
    });
  }

  Engine& engine() override { return engine_; }

  Task<Result<std::vector<ResourceInfo>>> offered(TimePoint deadline) override {
    while (true) {
      if (ended_) co_return *ended_;
      const auto view = session_->clusters().find(cluster_);
      if (view != session_->clusters().end() && view->second.present) co_return view->second.presence.resources;
      const bool told = co_await seen_.wait_until(engine_.runtime().clock, deadline);
      if (told) continue;
      co_return Error(Code::Unavailable, session_->connected()
                                             ? "cluster " + cluster_ + " has not shown itself: is its provider running?"
                                             : "the broker cannot be reached");
    }
  }

  std::unique_ptr<ListerWatcher> open(const StoreReader* store) override { return session_->open(cluster_, store); }
  bool following(const Scope& scope) const override {
    const auto standing = session_->standing(cluster_, scope.id());
    return standing && standing->following;
  }
  std::optional<Error> ended() const override { return ended_; }
  bool one_source_a_scope() const override { return true; }

 private:
  Task<void> keep_running() {
    const auto end = co_await session_->run();
    engine_.runtime().log.error(end.error().message);
    ended_ = end.error();
    seen_.notify();
  }

  Task<void> close() {
    co_await session_->stop();
    co_await tasks_->stop();
    co_await transport_->close(session_->last_word());
    session_ = nullptr;
    tasks_ = nullptr;
    transport_ = nullptr;
  }

  const std::string cluster_;
  Engine engine_;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<BrokerSession> session_;
  std::unique_ptr<TaskGroup> tasks_;
  Signal seen_;
  std::optional<Error> ended_;
};

}  // namespace

Result<Cluster> Cluster::open(const Kubeconfig& where, Log log) {
  kube::KubeconfigOptions options;
  options.path = where.path;
  options.context = where.context;
  auto connection = kube::load_connection(options);
  if (!connection) return connection.error();
  return Cluster(ClusterCore::share(std::make_unique<DirectCluster>(std::move(*connection), std::move(log))));
}

Result<Cluster> Cluster::open(const Broker& where, Log log) {
  if (auto name = wire::check_cluster_name(where.cluster); !name) return name.error();
  if (auto client = wire::check_client_id(where.client_id); !client) return client.error();
  for (const auto& [option, base] : {std::pair("signal", where.signal), std::pair("payload", where.payload)}) {
    if (auto good = wire::check_topic_base(option, base); !good) return good.error();
  }
  auto core = std::make_unique<ClusterBehindBroker>(where, std::move(log));
  if (auto started = core->start(where); !started) return started.error();
  return Cluster(ClusterCore::share(std::move(core)));
}

}  // namespace tinf::sdk
