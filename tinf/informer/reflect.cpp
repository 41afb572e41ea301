#include "tinf/informer/reflect.h"

namespace tinf {

Task<void> reflect(Runtime& runtime, Scope scope, ListerWatcher& source, StoreWriter& sink,
                   std::function<void(Result<void>, TimePoint)> report, ReflectorOptions options) {
  options.after_outage = AfterOutage::List;  // Informers are told that their copies are equal.
  // A replica of the API server that lags behind would take copies back to before what an earlier life has told them.
  options.first_version = "";
  Reflector* running = nullptr;
  options.on_error = [&](const Error& why) { report(why, running->current_at()); };
  options.on_status = [&] {
    if (running->live()) return report(Result<void>(), running->current_at());
    report(Error(Code::Unavailable, "no watch is open"), running->current_at());
  };
  Reflector reflector(runtime, std::move(scope), source, sink, std::move(options));
  running = &reflector;
  co_await reflector.run();
}

}  // namespace tinf
