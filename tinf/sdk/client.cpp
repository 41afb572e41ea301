#include "tinf/sdk/client.h"

#include "tinf/kube/discovery.h"
#include "tinf/kube/kube_lister_watcher.h"
#include "tinf/kube/kubeconfig.h"
#include "tinf/sdk/inside/engine.h"

namespace tinf::sdk {

struct Client::State {
  State(kube::Connection connection, Log log) : engine(std::move(log)) {
    engine.call([&] { rest = std::make_unique<kube::RestClient>(engine.runtime(), std::move(connection)); });
  }
  ~State() {
    engine.call([&] { rest = nullptr; });
  }

  // What the server has is asked once, and again for a name that it did not have.
  Task<Result<ResourceInfo>> find(const std::string& spelling) {
    auto known = find_resource(resources, spelling);
    if (known) co_return known;
    auto found = co_await kube::discover(*rest);
    if (!found) co_return found.error();
    gaps.say(*rest, std::move(found->gaps));
    resources = std::move(found->resources);
    co_return find_resource(resources, spelling);
  }

  // One object, or with an empty name the collection.
  Task<Result<kube::Response>> send(std::string method, std::string spelling, ObjectKey key, std::string type,
                                    std::string body) {
    auto resource = co_await find(spelling);
    if (!resource) co_return resource.error();
    Scope scope;
    scope.resource = resource->resource;
    scope.namespace_name = key.namespace_name;
    kube::Request request(kube::collection_path(scope));
    if (!key.name.empty()) request.path += "/" + kube::percent_encoded(key.name);
    request.method = std::move(method);
    request.headers.emplace_back("Accept", "application/json");
    if (!body.empty()) request.headers.emplace_back("Content-Type", std::move(type));
    request.body = std::move(body);
    co_return co_await rest->request(std::move(request));
  }

  Result<ObjectPtr> ask(std::string method, std::string resource, ObjectKey key, std::string type, std::string body) {
    auto answer =
        engine.run(send(std::move(method), std::move(resource), std::move(key), std::move(type), std::move(body)));
    if (!answer) return answer.error();
    return Object::parse(answer->body);
  }

  Engine engine;
  std::unique_ptr<kube::RestClient> rest;
  std::vector<ResourceInfo> resources;
  kube::GapLog gaps;
};

Result<Client> Client::open(const Kubeconfig& where, Log log) {
  kube::KubeconfigOptions options;
  options.path = where.path;
  options.context = where.context;
  auto connection = kube::load_connection(options);
  if (!connection) return connection.error();
  return Client(std::make_shared<State>(std::move(*connection), std::move(log)));
}

Result<ObjectPtr> Client::get(const std::string& resource, const ObjectKey& key) {
  return state_->ask("GET", resource, key, "", "");
}

Result<ObjectPtr> Client::create(const std::string& resource, const std::string& namespace_name, std::string json) {
  return state_->ask("POST", resource, ObjectKey{namespace_name, ""}, "application/json", std::move(json));
}

Result<ObjectPtr> Client::replace(const std::string& resource, const ObjectKey& key, std::string json) {
  return state_->ask("PUT", resource, key, "application/json", std::move(json));
}

Result<ObjectPtr> Client::patch(const std::string& resource, const ObjectKey& key, std::string json) {
  return state_->ask("PATCH", resource, key, "application/merge-patch+json", std::move(json));
}

Result<void> Client::remove(const std::string& resource, const ObjectKey& key, std::string_view uid) {
  std::string body;
  // A uid is hexadecimal and dashes; what is not one is no uid that the server could know.
  if (!uid.empty())
    body = R"({"kind":"DeleteOptions","apiVersion":"v1","preconditions":{"uid":")" + std::string(uid) + "\"}}";
  auto answer = state_->engine.run(state_->send("DELETE", resource, key, "application/json", std::move(body)));
  return answer ? Result<void>() : Result<void>(answer.error());
}

}  // namespace tinf::sdk
