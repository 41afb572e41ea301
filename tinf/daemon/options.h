// The command lines of the daemons: flags, environment and configuration file, read and checked in one go.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "tinf/base/clock.h"
#include "tinf/base/log.h"
#include "tinf/base/result.h"
#include "tinf/daemon/serve.h"
#include "tinf/wiring/stores.h"
#include "tinf/wiring/transports.h"

namespace tinf::daemon {

// What every daemon has.
struct CommonOptions {
  wiring::BrokerOptions broker;
  std::string signal_base = "/signal";
  std::string payload_base = "/payload";
  std::string listen;  // host:port of health and metrics; empty: none.
  bool log_json = false;
  LogLevel log_level = LogLevel::Info;

  CommonOptions() = default;
};

struct ProviderDaemonOptions {
  CommonOptions common;
  std::string cluster;
  std::string kubeconfig;
  std::string context;
  std::vector<std::string> allow;  // Of what is left out by default.
  std::vector<std::string> offer;  // Only these.
  std::vector<std::string> deny;
  bool keep_managed_fields = false;

  ProviderDaemonOptions() = default;
};

enum class OutputForm { Lines, Json, None };

struct InformerDaemonOptions {
  CommonOptions common;  // Without a broker: it serves what others keep in `store`, and follows nothing.
  std::vector<std::string> clusters;
  std::vector<std::string> resources;
  std::string namespace_name;
  std::string label_selector;
  std::string field_selector;
  bool metadata_only = false;
  std::string store = wiring::kDefaultStore;  // Checked by wiring::check_store.
  std::optional<ServeOptions> serve;          // The copies as an API; checked by check_serve().
  bool show_managed_fields = false;
  Duration resync{};  // Zero: never.
  OutputForm output = OutputForm::Lines;
  bool once = false;
  Duration timeout = std::chrono::minutes(1);

  InformerDaemonOptions() = default;
};

// Either the options, or the code to exit with: what there was to say has been said (help and version on stdout, one
// line about what is wrong on stderr; 2 for that).
template <class Options>
using Parsed = std::variant<Options, int>;

Parsed<ProviderDaemonOptions> parse_provider(int argc, char** argv);
// Also runs `informer auth …`, which is no daemon, to its end.
Parsed<InformerDaemonOptions> parse_informer(int argc, char** argv);

}  // namespace tinf::daemon
