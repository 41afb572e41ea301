// ApiServer: the API on a TCP port, over HTTP/1.1, with TLS if a certificate is given.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "tinf/api/authenticator.h"
#include "tinf/api/authorization_policy.h"
#include "tinf/api/ledger.h"
#include "tinf/api/request_limits.h"
#include "tinf/api/server_tls.h"
#include "tinf/base/result.h"
#include "tinf/base/runtime.h"
#include "tinf/base/task.h"
#include "tinf/contract/fleet_store.h"
#include "tinf/contract/versioned_store.h"

namespace tinf::api {

class ApiListener;

struct ApiOptions {
  std::string listen = "127.0.0.1:0";  // "address:port", "[::1]:6443"; port 0 takes a free one.

  // All files are read again when they change; what is no good then is said, and what was before stays in force.
  std::string certificate_file;  // PEM; with the key: TLS. Both or neither.
  std::string key_file;
  TlsVersion minimum_tls = TlsVersion::Tls12;

  // Who calls. None of these: nobody is asked.
  std::string client_authority_file;  // PEM; whose certificate this has signed is who it says. Needs TLS.
  std::string token_file;             // As BearerTokens::parse takes it.
  TokenReview token_review;
  bool anonymous = false;  // Who brings nothing may go on as system:anonymous.

  // What they may read; no file: everything. `read_authorization` makes a policy of the file's text.
  std::string authorization_file;
  std::function<Result<AuthorizationPolicy>(const std::string& text)> read_authorization;

  AuditSink audit;                         // None: no lines.
  std::function<std::string()> not_ready;  // As HandlerOptions has it.
  bool debug_paths = false;                // POST /debug/compact and /debug/cut-watches, from loopback only.
  // Refuse who calls us by another name than localhost or a loopback address: a page in somebody's browser, whose own
  // name was made to lead here, would read what only this machine's users may.
  bool local_names_only = false;

  RequestLimitOptions limits;
  std::size_t maximum_connections = 10'000;  // Of more, the one that has waited longest for a request gives way.
  std::size_t maximum_header_bytes = 64 * 1024;
  std::size_t maximum_body_bytes = 3 * 1024 * 1024;            // As kube-apiserver.
  std::size_t maximum_body_bytes_at_once = 256 * 1024 * 1024;  // Of all requests that are there.
  Duration handshake_timeout = std::chrono::seconds(10);       // Of TLS.
  Duration request_timeout = std::chrono::seconds(30);         // For a request to arrive; for the first, to begin, too.
  Duration idle_timeout = std::chrono::minutes(3);             // Between requests.
  Duration write_timeout = std::chrono::seconds(30);           // For a client to take 256 KiB of what it was sent.

  ApiOptions() = default;
};

// Confined to the runtime's strand. `runtime`, `store` and `fleet` outlive it.
class ApiServer {
 public:
  // The API of one cluster, which lives in `store`.
  ApiServer(Runtime& runtime, VersionedStore& store, ApiOptions options);
  // What is mirrored of many clusters, to be read.
  ApiServer(Runtime& runtime, FleetReader& fleet, ApiOptions options);
  ~ApiServer();

  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;

  // Reads the files, fills an empty store of one cluster with what every cluster has, and opens the port.
  // Invalid: an option is wrong or a file cannot be read. Unavailable: the address cannot be had.
  Task<Result<void>> listen();

  // After listen():
  unsigned port() const;
  std::string url() const;  // As clients on this machine reach it.
  // A kubeconfig with one context of this name, for clients on this machine: it trusts the server's certificate and
  // carries its first token.
  std::string kubeconfig(std::string_view name) const;

  // Serves until cancelled; returns when the last connection has gone.
  Task<void> run();

  // Forgets the history of one cluster's store, so that watches and pages from before get 410.
  void compact();
  // Ends every open watch in good order, as a restart would.
  void cut_watches();
  std::size_t open_watches() const;

 private:
  std::unique_ptr<ApiListener> listener_;
};

}  // namespace tinf::api
