// informer: keeps a copy of the objects of many clusters, prints what happens to them, and serves it.
#include "tinf/base/first_of.h"
#include "tinf/daemon/fleet.h"
#include "tinf/daemon/process.h"
#include "tinf/daemon/replica.h"
#include "tinf/daemon/serve.h"
#include "tinf/wiring/stores.h"
#include "tinf/wiring/transports.h"

namespace {

tinf::Task<tinf::Result<void>> follow(tinf::BrokerSession& session, tinf::daemon::Fleet& fleet) {
  auto ended = co_await tinf::first_of(session.run(), fleet.run());
  co_return ended.index() == 0 ? std::get<0>(std::move(ended)) : std::get<1>(std::move(ended));
}

}  // namespace

int main(int argc, char** argv) {
  auto parsed = tinf::daemon::parse_informer(argc, argv);
  if (const int* code = std::get_if<int>(&parsed)) return *code;
  const auto& options = std::get<tinf::daemon::InformerDaemonOptions>(parsed);
  tinf::daemon::Process process("informer", options.common);

  if (options.common.broker.url.empty()) return tinf::daemon::run_replica(process, options);
  auto store = tinf::wiring::open_fleet_store(process.runtime(), options.store, options.serve.has_value());
  if (!store) return process.fail(store.error());
  auto transport = tinf::wiring::open_transport(process.runtime(), options.common.broker, std::nullopt);
  if (!transport) return process.fail(transport.error());
  tinf::SessionOptions session_options;
  session_options.client = options.common.broker.client_id;
  session_options.instance = process.instance();
  session_options.host = process.host();
  session_options.started = process.started();
  session_options.topics = tinf::wire::Topics(options.common.signal_base, options.common.payload_base);
  session_options.clusters = options.clusters;
  tinf::BrokerSession session(process.runtime(), **transport, std::move(session_options));
  tinf::daemon::EventPrinter printer(options.output, options.show_managed_fields);
  tinf::daemon::Fleet fleet(process.runtime(), session, options, printer, store->get());

  process.ready_when([&] { return fleet.missing(); });
  process.remark([&] { return fleet.kept_by_others(); });
  process.before_metrics([&] { fleet.refresh_metrics(); });
  auto serve = options.serve;
  if (serve) serve->api.not_ready = [&] { return fleet.missing(); };
  auto work = tinf::daemon::serve_beside(follow(session, fleet), process.runtime(), store->get(), std::move(serve));
  return process.run(std::move(work), [&]() -> tinf::Task<void> {
    co_await fleet.stop();
    co_await session.stop();
    co_await (*transport)->close(session.last_word());
  });
}
