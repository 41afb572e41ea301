// HealthServer: /livez, /readyz and /metrics over plain HTTP, for probes and Prometheus.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tinf/base/result.h"
#include "tinf/base/runtime.h"

namespace tinf::daemon {

// Invalid: not address:port.
Result<void> check_listen(const std::string& listen);

struct Readiness {
  std::string missing;  // Empty when all is ready.
  std::string remark;   // What /readyz says beside "ok"; mostly empty.
};

// Confined to the runtime's executor. Holds at most 64 connections, each for one request of at most 8 KiB.
class HealthServer {
 public:
  // Invalid: not host:port. Unavailable: the address cannot be had.
  static Result<std::unique_ptr<HealthServer>> open(Runtime& runtime, const std::string& listen,
                                                    std::function<Readiness()> readiness,
                                                    std::function<std::vector<Metrics::Family>()> families);
  virtual ~HealthServer() = default;

  // Serves until cancelled.
  virtual Task<void> run() = 0;
};

}  // namespace tinf::daemon
