#include "tinf/daemon/serve.h"

#include "tinf/base/first_of.h"
#include "tinf/base/listen_address.h"

namespace tinf::daemon {

Result<void> check_serve(const api::ApiOptions& options) {
  const auto endpoint = parse_listen_address(options.listen);
  if (!endpoint) return endpoint.error();
  if (options.certificate_file.empty() != options.key_file.empty()) {
    return Error(Code::Invalid, "--tls-cert and --tls-key belong together: give both or neither");
  }
  const bool guarded = !options.certificate_file.empty() && !options.token_file.empty();
  if (guarded || endpoint->address().is_loopback()) return Result<void>();
  return Error(Code::Invalid, "--serve " + options.listen +
                                  " can be reached by others, who would read every cluster: it needs --tls-cert, "
                                  "--tls-key and --token-file; 127.0.0.1 and [::1] need none");
}

Task<Result<void>> serve_beside(Task<Result<void>> work, Runtime& runtime, FleetReader* fleet,
                                std::optional<api::ApiOptions> options) {
  if (!options) co_return co_await std::move(work);
  options->local_names_only = options->token_file.empty();
  api::ApiServer server(runtime, *fleet, std::move(*options));
  auto ready = co_await server.listen();
  if (!ready) co_return ready;
  runtime.log.with("api").info("the copies are served", {{"url", server.url()}});
  auto ended = co_await first_of(std::move(work), server.run());
  if (auto* result = std::get_if<0>(&ended)) co_return std::move(*result);
  co_return Error(Code::Internal, "the API server ended by itself");
}

}  // namespace tinf::daemon
