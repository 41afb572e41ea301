#include "tinf/daemon/replica.h"

#include "tinf/daemon/serve.h"
#include "tinf/wiring/stores.h"

namespace tinf::daemon {
namespace {

Task<Result<void>> until_cancelled(Clock& clock) {
  while (true) co_await clock.sleep_for(std::chrono::hours(1));
}

Task<void> nothing() {
  co_return;
}

}  // namespace

int run_replica(Process& process, const InformerDaemonOptions& options) {
  const auto opened = wiring::open_fleet_reader(process.runtime(), options.store);
  if (!opened) return process.fail(opened.error());
  FleetReader& reader = **opened;
  const auto missing = [&reader] {
    const auto reached = reader.reachable();
    return reached ? std::string() : reached.error().message;
  };
  process.ready_when(missing);
  auto serve = options.serve;
  serve->api.not_ready = missing;
  auto work = serve_beside(until_cancelled(process.runtime().clock), process.runtime(), &reader, std::move(serve));
  return process.run(std::move(work), nothing);
}

}  // namespace tinf::daemon
