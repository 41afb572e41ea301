#include "tinf/api/api_server.h"

#include "tinf/api/api_listener.h"

namespace tinf::api {

ApiServer::ApiServer(Runtime& runtime, VersionedStore& store, ApiOptions options)
    : listener_(std::make_unique<ApiListener>(
          runtime,
          [&runtime, &store](std::optional<ApiHandler>& handler, HandlerOptions of) {
            handler.emplace(runtime, store, std::move(of));
          },
          std::move(options))) {}

ApiServer::ApiServer(Runtime& runtime, FleetReader& fleet, ApiOptions options)
    : listener_(std::make_unique<ApiListener>(
          runtime,
          [&runtime, &fleet](std::optional<ApiHandler>& handler, HandlerOptions of) {
            handler.emplace(runtime, fleet, std::move(of));
          },
          std::move(options))) {}

ApiServer::~ApiServer() = default;

Task<Result<void>> ApiServer::listen() {
  return listener_->listen();
}

unsigned ApiServer::port() const {
  return listener_->port();
}

std::string ApiServer::url() const {
  return listener_->url();
}

std::string ApiServer::kubeconfig(std::string_view name) const {
  return listener_->kubeconfig(name);
}

Task<void> ApiServer::run() {
  return listener_->run();
}

void ApiServer::compact() {
  if (auto* handler = listener_->handler()) handler->compact();
}

void ApiServer::cut_watches() {
  if (auto* handler = listener_->handler()) handler->cut_watches();
}

std::size_t ApiServer::open_watches() const {
  auto* handler = listener_->handler();
  return handler == nullptr ? 0 : handler->open_watches();
}

}  // namespace tinf::api
