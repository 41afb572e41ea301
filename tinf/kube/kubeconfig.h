// Connection: how to reach one API server and who to be there; read from kubeconfig files by kubectl's rules, or from
// what a pod finds in its container.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tinf/base/result.h"

namespace tinf::kube {

// Bytes given in place, or the file that has them and may be replaced at any time.
struct Material {
  std::string bytes;
  std::string path;  // Absolute. Used if `bytes` is empty.

  Material() = default;
  bool empty() const { return bytes.empty() && path.empty(); }
};

// A program that prints an ExecCredential (client.authentication.k8s.io).
struct ExecPlugin {
  std::string api_version;
  std::string command;  // Absolute, or without a slash: then looked up in PATH.
  std::vector<std::string> arguments;
  std::vector<std::pair<std::string, std::string>> environment;  // Added to ours.
  std::string install_hint;
  bool provide_cluster_info = false;

  ExecPlugin() = default;
};

struct Credentials {
  std::string token;
  std::string token_file;  // Absolute. What it holds goes before `token`.
  std::string username;
  std::string password;
  Material client_certificate;  // PEM, as is the key.
  Material client_key;
  std::optional<ExecPlugin> exec;
  std::string impersonate_user;
  std::string impersonate_uid;
  std::vector<std::string> impersonate_groups;

  Credentials() = default;
};

struct Connection {
  std::string server;              // scheme://host[:port][/path], without a slash at its end.
  Material certificate_authority;  // Empty: the system's.
  bool insecure_skip_tls_verify = false;
  std::string tls_server_name;  // Empty: the server's host.
  std::string proxy_url;        // Empty: what the environment says.
  Credentials credentials;
  std::string namespace_name;  // The context's; empty if it names none.
  std::string origin;          // For messages: `context "dev" of /home/jane/.kube/config`.

  Connection() = default;
};

struct KubeconfigOptions {
  std::string path;     // --kubeconfig: this file and no other.
  std::string context;  // --context; empty: current-context. The next two replace what the context says.
  std::string cluster;
  std::string user;

  // Where everything else is looked up; a test brings its own.
  std::function<std::string(const std::string&)> environment;  // Empty text if unset. Default: the process's.
  std::string root = "/";                                      // Of the service account's files.

  KubeconfigOptions() = default;
};

// `path`; else the files of KUBECONFIG, merged (the first to name a thing wins); else ~/.kube/config; else, where no
// file says anything, the pod's own service account. NotFound: no configuration, or no such context, cluster or user;
// the message names those there are. Invalid: a file cannot be read or understood; the message names the file and the
// entry.
Result<Connection> load_connection(const KubeconfigOptions& options);

// What load_connection() makes of `text` as what stands in `path`: no file is read.
Result<Connection> connection_of(const std::string& text, const KubeconfigOptions& options);

// The service account of the pod that we run in. NotFound: we do not run in one.
Result<Connection> in_cluster_connection(const KubeconfigOptions& options);

}  // namespace tinf::kube
