// Merging and precedence as in k8s.io/client-go/tools/clientcmd: whole entries are taken from the first file that has
// them, data goes before files, and relative paths start at the folder of the file they stand in.
#include "tinf/kube/kubeconfig.h"

#include <yaml-cpp/yaml.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "tinf/base/base64.h"

namespace tinf::kube {
namespace {

namespace fs = std::filesystem;

// One named cluster, user or context, and where it was found.
struct Entry {
  YAML::Node node;
  fs::path file;
};

struct Merged {
  std::map<std::string, Entry> clusters, users, contexts;
  std::string current_context;
  std::string files;  // For messages.
};

// The text of a scalar; empty where it is missing, null or something else.
std::string text_of(const YAML::Node& node, const char* key) {
  const YAML::Node value = node[key];
  return value && value.IsScalar() ? value.Scalar() : std::string();
}

bool flag_of(const YAML::Node& node, const char* key) {
  return text_of(node, key) == "true";
}

std::vector<std::string> texts_of(const YAML::Node& node, const char* key) {
  std::vector<std::string> texts;
  const YAML::Node list = node[key];
  if (!list || !list.IsSequence()) return texts;
  for (const YAML::Node& item : list) {
    if (item.IsScalar()) texts.push_back(item.Scalar());
  }
  return texts;
}

std::string absolute(const Entry& entry, const std::string& path) {
  if (path.empty()) return path;
  return (fs::absolute(entry.file).parent_path() / path).lexically_normal().string();
}

std::string names(const std::map<std::string, Entry>& entries) {
  std::string text;
  for (const auto& [name, entry] : entries) text += (text.empty() ? "" : ", ") + name;
  return text.empty() ? "none" : text;
}

Error invalid(const fs::path& file, const std::string& what) {
  return Error(Code::Invalid, file.string() + ": " + what);
}

Result<void> merge_section(const YAML::Node& root, const fs::path& file, const char* section, const char* member,
                           std::map<std::string, Entry>& into) {
  const YAML::Node list = root[section];
  if (!list || list.IsNull()) return Result<void>();
  if (!list.IsSequence()) return invalid(file, std::string(section) + " is not a list");
  std::map<std::string, Entry> here;
  for (const YAML::Node& item : list) {
    if (!item.IsMap()) return invalid(file, std::string(section) + " has an entry that is not a map");
    const std::string name = text_of(item, "name");
    if (name.empty()) return invalid(file, std::string(section) + " has an entry without a name");
    const YAML::Node body = item[member];
    Entry entry{body && body.IsMap() ? body : YAML::Node(YAML::NodeType::Map), file};
    if (!here.emplace(name, entry).second) return invalid(file, std::string(section) + " has \"" + name + "\" twice");
  }
  into.merge(here);  // Keeps what an earlier file said.
  return Result<void>();
}

Result<void> merge_text(const std::string& text, const fs::path& file, Merged& merged) {
  try {
    const YAML::Node root = YAML::Load(text);
    merged.files += (merged.files.empty() ? "" : ", ") + file.string();
    if (root.IsNull()) return Result<void>();
    if (!root.IsMap()) return invalid(file, "is not a kubeconfig: no map at its top");
    if (auto done = merge_section(root, file, "clusters", "cluster", merged.clusters); !done) return done;
    if (auto done = merge_section(root, file, "users", "user", merged.users); !done) return done;
    if (auto done = merge_section(root, file, "contexts", "context", merged.contexts); !done) return done;
    if (merged.current_context.empty()) merged.current_context = text_of(root, "current-context");
  } catch (const YAML::Exception& error) {
    return invalid(file, std::string("is not valid YAML: ") + error.what());
  }
  return Result<void>();
}

Result<void> merge_file(const fs::path& file, Merged& merged) {
  std::error_code ignored;
  if (fs::is_directory(file, ignored)) return invalid(file, "is a folder: give the kubeconfig file itself");
  std::ifstream stream(file);
  std::stringstream text;
  text << stream.rdbuf();
  if (!stream) return invalid(file, std::string("this kubeconfig cannot be read: ") + std::strerror(errno));
  return merge_text(text.str(), file, merged);
}

Result<Material> material_of(const Entry& entry, const std::string& whose, const std::string& key) {
  Material material;
  const std::string data = text_of(entry.node, (key + "-data").c_str());
  if (!data.empty()) {
    auto bytes = base64_decode(data);
    if (!bytes) return invalid(entry.file, whose + ": " + key + "-data is not Base64");
    material.bytes = std::move(*bytes);
  } else {
    material.path = absolute(entry, text_of(entry.node, key.c_str()));
  }
  return material;
}

Result<ExecPlugin> exec_of(const Entry& entry, const std::string& whose) {
  const YAML::Node node = entry.node["exec"];
  ExecPlugin plugin;
  plugin.api_version = text_of(node, "apiVersion");
  if (plugin.api_version != "client.authentication.k8s.io/v1" &&
      plugin.api_version != "client.authentication.k8s.io/v1beta1") {
    return invalid(entry.file, whose + ": exec.apiVersion \"" + plugin.api_version +
                                   "\" is not supported; client.authentication.k8s.io/v1 and v1beta1 are");
  }
  plugin.command = text_of(node, "command");
  if (plugin.command.empty()) return invalid(entry.file, whose + ": exec has no command");
  if (plugin.command.find('/') != std::string::npos) plugin.command = absolute(entry, plugin.command);
  if (text_of(node, "interactiveMode") == "Always") {
    return invalid(entry.file, whose + ": exec.interactiveMode is Always, but there is no terminal here");
  }
  plugin.arguments = texts_of(node, "args");
  const YAML::Node environment = node["env"];
  if (environment && environment.IsSequence()) {
    for (const YAML::Node& item : environment) {
      if (item.IsMap()) plugin.environment.emplace_back(text_of(item, "name"), text_of(item, "value"));
    }
  }
  plugin.install_hint = text_of(node, "installHint");
  plugin.provide_cluster_info = flag_of(node, "provideClusterInfo");
  return plugin;
}

Result<Credentials> credentials_of(const Entry& entry, const std::string& whose) {
  Credentials who;
  who.token = text_of(entry.node, "token");
  who.token_file = absolute(entry, text_of(entry.node, "tokenFile"));
  who.username = text_of(entry.node, "username");
  who.password = text_of(entry.node, "password");
  who.impersonate_user = text_of(entry.node, "as");
  who.impersonate_uid = text_of(entry.node, "as-uid");
  who.impersonate_groups = texts_of(entry.node, "as-groups");
  auto certificate = material_of(entry, whose, "client-certificate");
  if (!certificate) return certificate.error();
  auto key = material_of(entry, whose, "client-key");
  if (!key) return key.error();
  if (certificate->empty() != key->empty()) {
    return invalid(entry.file, whose + ": has only one of client-certificate and client-key");
  }
  who.client_certificate = std::move(*certificate);
  who.client_key = std::move(*key);
  const YAML::Node exec = entry.node["exec"];
  if (exec && exec.IsMap()) {
    auto plugin = exec_of(entry, whose);
    if (!plugin) return plugin.error();
    who.exec = std::move(*plugin);
  }
  const YAML::Node provider = entry.node["auth-provider"];
  if (provider && provider.IsMap()) {
    return invalid(entry.file, whose + ": auth-provider \"" + text_of(provider, "name") +
                                   "\" is not supported, as in kubectl since 1.26; use an exec plugin");
  }
  return who;
}

Result<Connection> resolve(const Merged& merged, const KubeconfigOptions& options) {
  const std::string context_name = options.context.empty() ? merged.current_context : options.context;
  std::string cluster_name = options.cluster;
  std::string user_name = options.user;
  Connection connection;
  if (!context_name.empty()) {
    const auto context = merged.contexts.find(context_name);
    if (context == merged.contexts.end()) {
      return Error(Code::NotFound,
                   "no context \"" + context_name + "\" in " + merged.files + "; there are: " + names(merged.contexts));
    }
    const YAML::Node& node = context->second.node;
    if (cluster_name.empty()) cluster_name = text_of(node, "cluster");
    if (user_name.empty()) user_name = text_of(node, "user");
    connection.namespace_name = text_of(node, "namespace");
    connection.origin = "context \"" + context_name + "\" of " + context->second.file.string();
  } else if (cluster_name.empty()) {
    return Error(Code::NotFound,
                 merged.files + ": no current-context is set; choose a context of: " + names(merged.contexts));
  } else {
    connection.origin = "cluster \"" + cluster_name + "\" of " + merged.files;
  }

  const auto cluster = merged.clusters.find(cluster_name);
  if (cluster == merged.clusters.end()) {
    return Error(Code::NotFound,
                 connection.origin + ": no cluster \"" + cluster_name + "\"; there are: " + names(merged.clusters));
  }
  const Entry& place = cluster->second;
  const std::string whose = "cluster \"" + cluster_name + "\"";
  connection.server = text_of(place.node, "server");
  if (connection.server.empty()) return invalid(place.file, whose + " has no server");
  auto authority = material_of(place, whose, "certificate-authority");
  if (!authority) return authority.error();
  connection.certificate_authority = std::move(*authority);
  connection.insecure_skip_tls_verify = flag_of(place.node, "insecure-skip-tls-verify");
  if (connection.insecure_skip_tls_verify && !connection.certificate_authority.empty()) {
    return invalid(place.file, whose + ": insecure-skip-tls-verify and a certificate authority exclude each other");
  }
  connection.tls_server_name = text_of(place.node, "tls-server-name");
  connection.proxy_url = text_of(place.node, "proxy-url");

  if (!user_name.empty()) {
    const auto user = merged.users.find(user_name);
    if (user == merged.users.end()) {
      return Error(Code::NotFound,
                   connection.origin + ": no user \"" + user_name + "\"; there are: " + names(merged.users));
    }
    auto who = credentials_of(user->second, "user \"" + user_name + "\"");
    if (!who) return who.error();
    connection.credentials = std::move(*who);
  }

  if (connection.server.find("://") == std::string::npos) {
    const bool with_tls = connection.insecure_skip_tls_verify || !connection.certificate_authority.empty() ||
                          !connection.credentials.client_certificate.empty();
    connection.server.insert(0, with_tls ? "https://" : "http://");
  }
  if (!connection.server.starts_with("https://") && !connection.server.starts_with("http://")) {
    return invalid(place.file, whose + ": server \"" + connection.server + "\" is neither http nor https");
  }
  if (const auto host = connection.server.find("://") + 3;
      host == connection.server.size() || connection.server[host] == '/') {
    return invalid(place.file, whose + ": server \"" + connection.server + "\" names no host");
  }
  while (connection.server.ends_with('/')) connection.server.pop_back();
  return connection;
}

std::string environment_of(const KubeconfigOptions& options, const std::string& name) {
  if (options.environment) return options.environment(name);
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? "" : value;
}

std::vector<fs::path> default_files(const KubeconfigOptions& options) {
  std::vector<fs::path> files;
  const std::string listed = environment_of(options, "KUBECONFIG");
  for (std::size_t from = 0; from < listed.size();) {
    const auto to = std::min(listed.find(':', from), listed.size());
    if (to > from) files.emplace_back(listed.substr(from, to - from));
    from = to + 1;
  }
  const std::string home = environment_of(options, "HOME");
  if (files.empty() && !home.empty()) files.emplace_back(fs::path(home) / ".kube" / "config");
  return files;
}

}  // namespace

Result<Connection> load_connection(const KubeconfigOptions& options) {
  Merged merged;
  std::string looked_at;
  if (!options.path.empty()) {
    if (auto done = merge_file(options.path, merged); !done) return done.error();
  } else {
    for (const fs::path& file : default_files(options)) {
      looked_at += (looked_at.empty() ? "" : ", ") + file.string();
      std::error_code ignored;
      if (!fs::exists(file, ignored)) continue;
      if (auto done = merge_file(file, merged); !done) return done.error();
    }
    if (merged.clusters.empty() && merged.contexts.empty()) {
      if (auto connection = in_cluster_connection(options)) return connection;
      return Error(Code::NotFound, "no kubeconfig found (looked at " + (looked_at.empty() ? "nothing" : looked_at) +
                                       ") and not inside a pod; set KUBECONFIG or --kubeconfig");
    }
  }
  return resolve(merged, options);
}

Result<Connection> connection_of(const std::string& text, const KubeconfigOptions& options) {
  Merged merged;
  if (auto done = merge_text(text, options.path, merged); !done) return done.error();
  return resolve(merged, options);
}

Result<Connection> in_cluster_connection(const KubeconfigOptions& options) {
  std::string host = environment_of(options, "KUBERNETES_SERVICE_HOST");
  const std::string port = environment_of(options, "KUBERNETES_SERVICE_PORT");
  if (host.empty() || port.empty()) {
    return Error(Code::NotFound, "not inside a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set");
  }
  const fs::path account = fs::path(options.root) / "var/run/secrets/kubernetes.io/serviceaccount";
  std::error_code ignored;
  if (!fs::exists(account / "token", ignored)) {
    return Error(Code::NotFound,
                 "inside a pod without a service account: " + (account / "token").string() + " is missing");
  }
  if (host.find(':') != std::string::npos) host = "[" + host + "]";
  Connection connection;
  connection.server = "https://" + host + ":" + port;
  connection.credentials.token_file = (account / "token").string();
  if (fs::exists(account / "ca.crt", ignored)) connection.certificate_authority.path = (account / "ca.crt").string();
  std::ifstream(account / "namespace") >> connection.namespace_name;
  connection.origin = "the pod's service account";
  return connection;
}

}  // namespace tinf::kube
