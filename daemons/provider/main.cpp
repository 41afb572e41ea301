// provider: offers one cluster's objects to informers behind a broker.
#include "tinf/daemon/process.h"
#include "tinf/kube/kubeconfig.h"
#include "tinf/provider/provider.h"
#include "tinf/wiring/cluster_source.h"

int main(int argc, char** argv) {
  auto parsed = tinf::daemon::parse_provider(argc, argv);
  if (const int* code = std::get_if<int>(&parsed)) return *code;
  const auto& options = std::get<tinf::daemon::ProviderDaemonOptions>(parsed);
  tinf::daemon::Process process("provider", options.common);

  tinf::kube::KubeconfigOptions kubeconfig;
  kubeconfig.path = options.kubeconfig;
  kubeconfig.context = options.context;
  auto connection = tinf::kube::load_connection(kubeconfig);
  if (!connection) return process.fail(connection.error());
  tinf::wiring::OfferOptions offer;
  offer.allow = options.allow;
  offer.offer = options.offer;
  offer.deny = options.deny;
  tinf::wiring::ClusterSource cluster(process.runtime(), std::move(*connection), std::move(offer),
                                      options.keep_managed_fields);

  tinf::ProviderOptions providing;
  providing.cluster = options.cluster;
  providing.client = options.common.broker.client_id;
  providing.instance = process.instance();
  providing.host = process.host();
  providing.started = process.started();
  providing.topics = tinf::wire::Topics(options.common.signal_base, options.common.payload_base);
  auto transport =
      tinf::wiring::open_transport(process.runtime(), options.common.broker, tinf::Provider::last_will(providing));
  if (!transport) return process.fail(transport.error());

  tinf::Provider provider(process.runtime(), **transport, providing,
                          [&](tinf::Scope scope, tinf::StoreWriter& sink, auto report) {
                            return cluster.reflect(std::move(scope), sink, std::move(report));
                          });
  process.ready_when([&]() -> std::string {
    if (!provider.connected()) return "the broker cannot be reached";
    return cluster.reachable() ? provider.unheard() : "the API server cannot be reached";
  });
  process.before_metrics([&] { provider.refresh_metrics(); });
  tinf::TaskGroup discovery(process.runtime().executor);
  discovery.spawn(cluster.watch_offer(
      [&](const auto& found) { provider.offer(found.resources, found.cluster_uid, found.kubernetes_version); }));
  return process.run(provider.run(), [&]() -> tinf::Task<void> {
    co_await discovery.stop();
    co_await provider.stop();
    co_await (*transport)->close(provider.farewell());
  });
}
