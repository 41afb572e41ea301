// What users write: kubeconfig files, the address of a broker, options in YAML. None of it may end a program otherwise
// than with a message that names what is wrong.
//
// An input is text:
//   k<context>   a kubeconfig; a context that was asked for, or none
//   <YAML>
//
//   b<URL>       the address of a broker
//
//   y<YAML>      the file of --config
#include <filesystem>
#include <sstream>

#include "tests/fuzz/fuzz.h"
#include "tinf/daemon/yaml_config.h"
#include "tinf/kube/kubeconfig.h"
#include "tinf/transport/mqtt/broker_address.h"

namespace tinf::fuzz {
namespace {

constexpr const char* kFile = "/nowhere/kubeconfig";

bool is_absolute_or_nothing(const std::string& path) {
  return path.empty() || std::filesystem::path(path).is_absolute();
}

void play_kubeconfig(std::string_view input) {
  kube::KubeconfigOptions options;
  options.context = take(input);
  options.path = kFile;
  options.environment = [](const std::string& name) {
    demand(false, "a file that is given asks no environment", name);
    return std::string();
  };
  const auto connection = kube::connection_of(std::string(input), options);
  if (!connection) {
    const auto& error = connection.error();
    demand(error.code == Code::Invalid || error.code == Code::NotFound, "a kubeconfig is refused as what it is");
    demand(error.message.find(kFile) != std::string::npos, "a refusal names the file", error.message);
    return;
  }
  demand(connection->server.starts_with("https://") || connection->server.starts_with("http://"),
         "a server has a scheme", connection->server);
  demand(!connection->server.ends_with('/'), "a server does not end in a slash", connection->server);
  demand(connection->origin.find(kFile) != std::string::npos, "a connection knows where it is from");
  const auto& who = connection->credentials;
  for (const auto* material : {&connection->certificate_authority, &who.client_certificate, &who.client_key}) {
    demand(material->bytes.empty() || material->path.empty(), "what is given in place needs no file");
    demand(is_absolute_or_nothing(material->path), "a path is absolute", material->path);
  }
  demand(who.client_certificate.empty() == who.client_key.empty(), "a certificate comes with its key");
  demand(is_absolute_or_nothing(who.token_file), "a path is absolute", who.token_file);
  demand(!connection->insecure_skip_tls_verify || connection->certificate_authority.empty(),
         "an authority is not given and ignored");
  if (who.exec) {
    demand(!who.exec->command.empty(), "a plugin has a command");
    demand(who.exec->command.find('/') == std::string::npos || is_absolute_or_nothing(who.exec->command),
           "a command is absolute or looked up in PATH", who.exec->command);
  }
}

void play_broker_url(std::string_view input) {
  const Exact url(input);
  const auto address = parse_broker_url(url.view());
  if (!address) {
    demand(address.error().code == Code::Invalid, "a broker URL is refused as Invalid");
    demand(input.find('@') == std::string_view::npos || address.error().message.find(input) == std::string::npos,
           "a password is not repeated");
    return;
  }
  demand(!address->host.empty() && address->port >= 1 && address->port <= 65535, "an address has a host and a port");
  const auto again = parse_broker_url((address->tls ? "mqtts://" : "mqtt://") + address->to_string());
  demand(again.has_value() && *again == *address, "an address that was written is read as the same",
         address->to_string());
}

void play_options(std::string_view input) {
  CLI::App app("fuzz");
  std::string broker;
  bool tls = false;
  app.add_option("-b,--broker", broker);
  app.add_flag("--tls", tls);
  const daemon::YamlConfig config(app);
  std::istringstream stream{std::string(input)};
  try {
    (void)config.from_config(stream);
  } catch (const CLI::ConfigError& error) {
    demand(!std::string_view(error.what()).empty(), "a refusal says why");
  }
}

}  // namespace
}  // namespace tinf::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(bytes), size);
  if (input.starts_with('k')) tinf::fuzz::play_kubeconfig(input.substr(1));
  if (input.starts_with('b')) tinf::fuzz::play_broker_url(input.substr(1));
  if (input.starts_with('y')) tinf::fuzz::play_options(input.substr(1));
  return 0;
}
