// Cluster: where informers read from: an API server, or a provider behind a broker. One line tells them apart.
//
//   auto cluster = tinf::sdk::Cluster::open(tinf::sdk::Kubeconfig{});
//   auto cluster = tinf::sdk::Cluster::open(tinf::sdk::Broker{.url = "mqtt://127.0.0.1:1883", .client_id = "me",
//   .cluster = "cluster1"});
#pragma once

#include <memory>
#include <string>

#include "tinf/base/log.h"
#include "tinf/base/result.h"

namespace tinf::sdk {

class ClusterCore;

// An API server, found as kubectl finds it: `path` or KUBECONFIG or ~/.kube/config, or the pod's service account.
struct Kubeconfig {
  std::string path{};
  std::string context{};  // Empty: the current one.
};

// A cluster whose provider is behind this broker.
struct Broker {
  std::string url{};        // tcp:// mqtt:// ssl:// mqtts:// or host:port
  std::string client_id{};  // No two may share one: the broker would throw the elder out.
  std::string cluster{};    // As its provider calls it.
  std::string signal = "/signal";
  std::string payload = "/payload";
  int qos = 1;
  bool tls = false;
  std::string ca_file{}, certificate_file{}, key_file{};
  std::string username{}, password_file{};
};

// A handle: copies name the same connection, which ends with the last copy and the last informer of it. Owns a thread
// on which everything of this cluster runs. Thread-safe.
class Cluster {
 public:
  // Return at once; a server or broker that is away is waited for.
  // Invalid or NotFound: the kubeconfig, the address or a file is not what it must be; the message names it.
  static Result<Cluster> open(const Kubeconfig& where, Log log = Log());
  static Result<Cluster> open(const Broker& where, Log log = Log());

 private:
  friend class Informer;
  explicit Cluster(std::shared_ptr<ClusterCore> core) : core_(std::move(core)) {}
  std::shared_ptr<ClusterCore> core_;
};

}  // namespace tinf::sdk
