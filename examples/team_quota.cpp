// A controller: keeps in the configmap "team-<team>" of each namespace how many configmaps carry the label team=<team>.
// Reads from an API server or, given a broker, from a provider behind it; writes to the API server.
//
//   team_quota                              both directly, with the kubeconfig that kubectl would take
//   team_quota mqtt://127.0.0.1:1883 NAME   reads cluster NAME through the broker
#include <csignal>
#include <iostream>
#include <thread>

#include "tinf/sdk/client.h"
#include "tinf/sdk/controller.h"

using namespace tinf;

namespace {

constexpr const char* kTeam = "/metadata/labels/team";

Log log_to_stderr() {
  return Log([](const LogRecord& record) { std::cerr << record.message << "\n"; }, LogLevel::Warning);
}

// The summary that counts this object, if it belongs to a team and is not a summary itself.
std::vector<ObjectKey> summary_of(const Object& object) {
  const auto team = object.string_at(kTeam);
  if (!team || object.name().starts_with("team-")) return {};
  return {ObjectKey{std::string(object.namespace_name()), "team-" + *team}};
}

int fail(const Error& error) {
  std::cerr << "team_quota: " << error.message << "\n";
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // Before the first thread, so that only sigwait() below takes them.

  // The one line that differs.
  auto cluster = argc == 3
                     ? sdk::Cluster::open(sdk::Broker{.url = argv[1], .client_id = "team-quota", .cluster = argv[2]},
                                          log_to_stderr())
                     : sdk::Cluster::open(sdk::Kubeconfig{}, log_to_stderr());
  if (!cluster) return fail(cluster.error());
  auto client = sdk::Client::open(sdk::Kubeconfig{});
  if (!client) return fail(client.error());
  auto informer = sdk::Informer::open(*cluster, sdk::Query{.resource = "configmaps"});
  if (!informer) return fail(informer.error());
  auto indexed = informer->add_index("summary", [](const Object& object) {
    std::vector<std::string> names;
    for (const ObjectKey& key : summary_of(object)) names.push_back(key.to_string());
    return names;
  });
  if (!indexed) return fail(indexed.error());

  sdk::Controller* self = nullptr;
  sdk::Controller controller(
      *informer,
      [&](const ObjectKey& key) -> Result<sdk::Outcome> {
        if (!key.name.starts_with("team-")) return sdk::Outcome::done();
        const auto members = informer->by_index("summary", key.to_string());
        const std::string count = std::to_string(members->size());
        const ObjectPtr summary = informer->get(key);
        if (summary && summary->string_at("/data/count") == count) return sdk::Outcome::done();
        auto answer = summary ? client->patch("configmaps", key, R"({"data":{"count":")" + count + "\"}}")
                              : client->create("configmaps", key.namespace_name,
                                               R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":")" +
                                                   key.name + R"("},"data":{"count":")" + count + "\"}}");
        if (!answer) return answer.error();  // Tried again later.
        self->wrote(*answer);                // The gate: not again before the copy shows it.
        std::cout << key.to_string() << " counts " << count << std::endl;
        return sdk::Outcome::done();
      },
      sdk::ControllerOptions{.name = "team-quota", .workers = 4, .log = log_to_stderr()});
  self = &controller;
  if (auto watched = controller.watch(*informer, summary_of); !watched) return fail(watched.error());

  std::stop_source stop;
  std::thread signal_waiter([&] {
    int signal = 0;
    sigwait(&signals, &signal);
    stop.request_stop();
  });
  signal_waiter.detach();
  if (auto ran = controller.run(stop.get_token()); !ran) return fail(ran.error());
}
