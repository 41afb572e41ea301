// Aggregated discovery (apidiscovery.k8s.io/v2, 1.30 on, v2beta1 before) says everything at /api and /apis; an older
// server answers the same request in the legacy form, and then each group version is asked for by itself.
#include "tinf/kube/discovery.h"

#include <simdjson.h>

#include <algorithm>
#include <functional>
#include <map>

#include "tinf/kube/api_status.h"

namespace tinf::kube {
namespace {

using simdjson::dom::element;
using Found = simdjson::simdjson_result<element>;

constexpr const char* kAccept =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

std::string text_of(Found value) {
  std::string_view text;
  return value.get(text) ? std::string() : std::string(text);
}

std::vector<std::string> texts_of(Found value) {
  std::vector<std::string> texts;
  simdjson::dom::array array;
  if (value.get(array)) return texts;
  for (element item : array) texts.push_back(text_of(std::move(item)));
  return texts;
}

void for_each(Found list, const std::function<void(element)>& use) {
  simdjson::dom::array array;
  if (list.get(array)) return;
  for (element item : array) use(item);
}

struct GroupVersion {
  std::string group;
  std::string version;
  bool preferred = false;

  GroupVersion() = default;
  std::string path() const { return group.empty() ? "/api/" + version : "/apis/" + group + "/" + version; }
};

// One of the two roots as read: resources at once, or the group versions to ask.
struct Root {
  std::vector<ResourceInfo> resources;
  std::vector<GroupVersion> to_ask;
  std::vector<std::string> stale;  // Group versions whose own server does not answer now.

  Root() = default;
};

void read_aggregated(element document, Root& root) {
  for_each(document["items"], [&](element group) {
    bool first = true;  // Versions come in the server's order of preference.
    for_each(group["versions"], [&](element version) {
      const std::string group_name = text_of(group["metadata"]["name"]);
      const std::string version_name = text_of(version["version"]);
      if (text_of(version["freshness"]) == "Stale") root.stale.push_back(group_name + "/" + version_name);
      for_each(version["resources"], [&](element entry) {
        ResourceInfo info;
        info.resource.group = group_name;
        info.resource.version = version_name;
        info.resource.name = text_of(entry["resource"]);
        info.kind = text_of(entry["responseKind"]["kind"]);
        info.singular = text_of(entry["singularResource"]);
        info.short_names = texts_of(entry["shortNames"]);
        info.categories = texts_of(entry["categories"]);
        info.verbs = texts_of(entry["verbs"]);
        info.namespaced = text_of(entry["scope"]) == "Namespaced";
        info.preferred_version = first;
        if (!info.resource.name.empty() && !info.verbs.empty()) root.resources.push_back(std::move(info));
      });
      first = false;
    });
  });
}

Result<Root> read_root(const std::string& body, const std::string& path) {
  Root root;
  simdjson::dom::parser parser;
  element document;
  if (parser.parse(body).get(document)) return Error(Code::Internal, path + " is not JSON: " + excerpt(body));
  const std::string kind = text_of(document["kind"]);
  const auto ask = [&root](std::string group, std::string version, bool preferred) {
    GroupVersion asked;
    asked.group = std::move(group);
    asked.version = std::move(version);
    asked.preferred = preferred;
    root.to_ask.push_back(std::move(asked));
  };
  if (kind == "APIGroupDiscoveryList") {
    read_aggregated(document, root);
  } else if (kind == "APIVersions") {
    for (std::string& version : texts_of(document["versions"])) ask("", std::move(version), root.to_ask.empty());
  } else if (kind == "APIGroupList") {
    for_each(document["groups"], [&](element group) {
      const std::string preferred = text_of(group["preferredVersion"]["version"]);
      for_each(group["versions"], [&](element version) {
        const std::string name = text_of(version["version"]);
        ask(text_of(group["name"]), name, name == preferred);
      });
    });
  } else {
    return Error(Code::Internal, path + " answers with a " + (kind.empty() ? "thing without a kind" : kind) +
                                     ": not a Kubernetes API server? " + excerpt(body));
  }
  return root;
}

Result<void> read_group_version(const std::string& body, const GroupVersion& asked,
                                std::vector<ResourceInfo>& resources) {
  simdjson::dom::parser parser;
  element document;
  if (parser.parse(body).get(document) || text_of(document["kind"]) != "APIResourceList") {
    return Error(Code::Internal, asked.path() + " is not an APIResourceList: " + excerpt(body));
  }
  for_each(document["resources"], [&](element entry) {
    ResourceInfo info;
    info.resource.group = asked.group;
    info.resource.version = asked.version;
    info.resource.name = text_of(entry["name"]);
    info.kind = text_of(entry["kind"]);
    info.singular = text_of(entry["singularName"]);
    info.short_names = texts_of(entry["shortNames"]);
    info.categories = texts_of(entry["categories"]);
    info.verbs = texts_of(entry["verbs"]);
    bool namespaced = false;
    info.namespaced = !entry["namespaced"].get(namespaced) && namespaced;
    info.preferred_version = asked.preferred;
    const bool is_subresource = info.resource.name.find('/') != std::string::npos;
    if (!info.resource.name.empty() && !is_subresource && !info.verbs.empty()) resources.push_back(std::move(info));
  });
  return Result<void>();
}

// A version may lack what others of its group have. The group's preferred version wins where it has the resource, else
// the first that has it, in the server's order.
void prefer_one_version_of_each(std::vector<ResourceInfo>& resources) {
  std::map<std::pair<std::string, std::string>, ResourceInfo*> chosen;
  for (ResourceInfo& info : resources) {
    ResourceInfo*& best = chosen[{info.resource.group, info.resource.name}];
    if (best == nullptr || (info.preferred_version && !best->preferred_version)) best = &info;
  }
  for (ResourceInfo& info : resources) {
    info.preferred_version = chosen[{info.resource.group, info.resource.name}] == &info;
  }
}

Task<Result<Root>> fetch_root(RestClient& client, std::string path) {
  Request request(path);
  request.headers.emplace_back("Accept", kAccept);
  auto response = co_await client.request(std::move(request));
  if (!response) co_return response.error();
  co_return read_root(response->body, path);
}

}  // namespace

void GapLog::say(RestClient& client, std::vector<std::string> gaps) {
  const Log log = client.runtime().log.with("kube");
  for (const std::string& gap : gaps) {
    if (std::find(said_.begin(), said_.end(), gap) == said_.end())
      log.warning("discovery: " + gap, {{"server", client.connection().server}});
  }
  said_ = std::move(gaps);
}

Task<Result<Discovery>> discover(RestClient& client) {
  Discovery found;
  std::vector<ResourceInfo>& resources = found.resources;
  std::optional<Error> first_failure;
  for (const char* const path : {"/api", "/apis"}) {
    const std::string root_path(path);
    auto root = co_await fetch_root(client, root_path);
    if (!root) {
      // A hub may serve only one of the two.
      if (root.error().code != Code::NotFound) co_return root.error();
      if (!first_failure) first_failure = root.error();
      continue;
    }
    for (ResourceInfo& info : root->resources) resources.push_back(std::move(info));
    for (const std::string& name : root->stale)
      found.gaps.push_back(name + ": its own API server does not answer, what is known of it may be old");
    for (const GroupVersion& asked : root->to_ask) {
      Request request(asked.path());
      auto response = co_await client.request(std::move(request));
      Result<void> done =
          response ? read_group_version(response->body, asked, resources) : Result<void>(response.error());
      if (done) continue;
      if (done.error().code == Code::Unauthorized) co_return done.error();
      found.gaps.push_back(asked.path() + " cannot be read and is left out: " + done.error().message);
    }
  }
  if (resources.empty() && first_failure) co_return *first_failure;
  prefer_one_version_of_each(resources);
  co_return found;
}

Task<Result<ServerVersion>> server_version(RestClient& client) {
  Request request("/version");
  auto response = co_await client.request(std::move(request));
  if (!response) co_return response.error();
  simdjson::dom::parser parser;
  element document;
  ServerVersion version;
  if (!parser.parse(response->body).get(document)) {
    version.major = text_of(document["major"]);
    version.minor = text_of(document["minor"]);
    version.git_version = text_of(document["gitVersion"]);
  }
  if (version.git_version.empty())
    co_return Error(Code::Internal, "/version is not a Kubernetes version: " + excerpt(response->body));
  co_return version;
}

Task<Result<std::string>> cluster_uid(RestClient& client) {
  Request request("/api/v1/namespaces/kube-system");
  auto response = co_await client.request(std::move(request));
  if (!response) co_return response.error();
  simdjson::dom::parser parser;
  element document;
  std::string uid;
  if (!parser.parse(response->body).get(document)) uid = text_of(document["metadata"]["uid"]);
  if (uid.empty()) co_return Error(Code::Internal, "the namespace kube-system has no uid: " + excerpt(response->body));
  co_return uid;
}

}  // namespace tinf::kube
