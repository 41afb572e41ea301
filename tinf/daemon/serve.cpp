#include "tinf/daemon/serve.h"

#include "tinf/base/first_of.h"
#include "tinf/base/listen_address.h"
#include "tinf/daemon/audit_file.h"
#include "tinf/daemon/authorization_file.h"
#include "tinf/daemon/token_review.h"

namespace tinf::daemon {
namespace {

constexpr std::size_t kLargestBody = 64 * 1024;  // Of a fleet, whose only bodies are questions.
constexpr std::size_t kBodiesAtOnce = 16 * 1024 * 1024;

Error needs(const std::string& what, const std::string& why) {
  return Error(Code::Invalid, what + ": " + why);
}

// What the options name: who vouches for tokens, what rules mean, where audit lines go.
Result<api::ApiOptions> api_options(Runtime& runtime, ServeOptions options) {
  api::ApiOptions made = std::move(options.api);
  made.local_names_only = !options.asks_who_calls();
  made.maximum_body_bytes = kLargestBody;
  made.maximum_body_bytes_at_once = kBodiesAtOnce;
  made.read_authorization = parse_authorization;
  if (!options.token_review_kubeconfig.empty()) {
    kube::KubeconfigOptions where;
    where.path = options.token_review_kubeconfig;
    where.context = options.token_review_context;
    auto connection = kube::load_connection(where);
    if (!connection) return needs("--token-review-kubeconfig", connection.error().message);
    made.token_review = token_review_by(runtime, std::move(*connection));
  }
  if (!options.audit_log.empty()) {
    auto file = AuditFile::open(runtime, options.audit_log);
    if (!file) return file.error();
    made.audit = [file = std::move(*file)](const std::string& line) { file->write(line); };
  }
  return made;
}

}  // namespace

bool ServeOptions::asks_who_calls() const {
  return !api.client_authority_file.empty() || !api.token_file.empty() || !token_review_kubeconfig.empty();
}

Result<void> check_serve(const ServeOptions& options) {
  const auto endpoint = parse_listen_address(options.api.listen);
  if (!endpoint) return endpoint.error();
  const bool has_tls = !options.api.certificate_file.empty();
  const bool has_rules = !options.api.authorization_file.empty();
  if (has_tls == options.api.key_file.empty()) {
    return Error(Code::Invalid, "--tls-cert and --tls-key belong together: give both or neither");
  }
  if (has_rules && options.always_allow) {
    return Error(Code::Invalid, "--authorization-file has rules, and AlwaysAllow asks none: give one of the two");
  }
  if (!options.api.client_authority_file.empty() && !has_tls) {
    return needs("--client-ca", "clients show certificates in TLS only: give --tls-cert and --tls-key, too");
  }
  if (options.api.anonymous && !(has_rules && options.asks_who_calls())) {
    return needs("--anonymous-auth",
                 "what system:anonymous may read, rules say: give --authorization-file and a way to be known, too");
  }
  if ((has_rules || options.always_allow) && !options.asks_who_calls()) {
    return Error(Code::Invalid,
                 "rules are about who calls: give --client-ca, --token-file or --token-review-kubeconfig, too");
  }
  if (endpoint->address().is_loopback()) return Result<void>();
  const std::string open =
      "--serve " + options.api.listen + " can be reached by others, who would read every cluster: ";
  if (!has_tls) {
    return Error(Code::Invalid, open +
                                    "it needs --tls-cert and --tls-key, a way to know who calls and "
                                    "--authorization-file; 127.0.0.1 and [::1] need none");
  }
  if (!options.asks_who_calls()) {
    return Error(Code::Invalid, open + "it needs --client-ca, --token-file or --token-review-kubeconfig");
  }
  if (has_rules || options.always_allow) return Result<void>();
  return Error(Code::Invalid, open +
                                  "it needs --authorization-file, or --authorization-mode AlwaysAllow if whoever is "
                                  "known may do so");
}

Task<Result<void>> serve_beside(Task<Result<void>> work, Runtime& runtime, FleetReader* fleet,
                                std::optional<ServeOptions> options) {
  if (!options) co_return co_await std::move(work);
  auto of = api_options(runtime, std::move(*options));
  if (!of) co_return of.error();
  api::ApiServer server(runtime, *fleet, std::move(*of));
  auto ready = co_await server.listen();
  if (!ready) co_return ready;
  runtime.log.with("api").info("the copies are served", {{"url", server.url()}});
  auto ended = co_await first_of(std::move(work), server.run());
  if (auto* result = std::get_if<0>(&ended)) co_return std::move(*result);
  co_return Error(Code::Internal, "the API server ended by itself");
}

}  // namespace tinf::daemon
