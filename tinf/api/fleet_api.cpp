// From a path to the view that it is about, and what a client should know of an answer beyond it.
#include "tinf/api/fleet_api.h"

#include <algorithm>

#include "tinf/api/columns.h"
#include "tinf/patch/json.h"

namespace tinf::api {
namespace {

constexpr std::string_view kClusters = "/clusters/";
constexpr std::size_t kMostNames = 10;  // In a message.

// The types of the events that clients look for beside an object, as `kubectl describe` does, whether they are followed
// or not.
const std::vector<ResourceTypePtr>& event_types() {
  static const auto made = [](std::string group) {
    auto type = std::make_shared<ResourceType>();
    type->info.resource = Resource{std::move(group), "v1", "events"};
    type->info.kind = "Event";
    type->info.namespaced = true;
    type->collection = type->info.resource.group_resource();
    type->mirrored = true;
    return type;
  };
  static const std::vector<ResourceTypePtr> types{made(""), made("events.k8s.io")};
  return types;
}

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < kMostNames; ++i) text += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > kMostNames) text += " and " + std::to_string(names.size() - kMostNames) + " more";
  return text;
}

Status no_such_cluster(const std::string& name, const std::vector<std::string>& known) {
  const Resource clusters{"", "", "clusters"};
  Status status = Status::not_found(clusters, name);
  status.message += known.empty() ? ": none is known yet" : ": known are " + listed(known);
  return status;
}

// Before there is anything: that a resource is not there would be believed.
Status nothing_yet(const Resource& resource) {
  Status status = Status::of(
      Error(Code::Unavailable, "nothing is followed yet: no cluster has shown itself since this process began"),
      resource, "");
  status.retry_after_seconds = 1;
  return status;
}

std::vector<std::string> names_in(std::string_view text) {
  std::vector<std::string> names;
  while (!text.empty()) {
    const auto comma = text.find(',');
    if (comma != 0) names.emplace_back(text.substr(0, comma));
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
  }
  return names;
}

// To these clusters.
void narrow(Query& query, const std::vector<std::string>& clusters) {
  std::string selector = query.get("labelSelector");
  if (!selector.empty()) selector += ',';
  selector += std::string(kClusterLabel) + " in (";
  for (const auto& name : clusters) selector += (&name == &clusters.front() ? "" : ",") + name;
  query.set("labelSelector", selector + ")");
}

// What the definition says of the type; null: it does not define it.
ResourceTypePtr type_in(const FleetObject& definition, const Resource& resource) {
  const auto tree = parse_json(definition.object->raw());
  if (!tree) return nullptr;
  const auto types = types_of_definition(*tree);
  if (!types) return nullptr;
  const auto found = std::ranges::find(*types, resource, [](const auto& one) { return one->resource(); });
  return found == types->end() ? nullptr : *found;
}

}  // namespace

struct FleetApi::View {
  // The columns of a custom resource, and of which state of which definition they are.
  struct Learned {
    std::string cluster;
    StoreVersion version = 0;
    ResourceTypePtr type;  // With them, as it stands in the catalog.
  };

  // The schemas of custom resources, out of their definitions.
  class Schemas final : public SchemaSource {
   public:
    Schemas(FleetApi& api, const View& view) : api_(api), view_(view) {}

    Task<std::string> state(const ResourceType& type) override {
      const auto definition = co_await api_.definition_of(view_, type);
      co_return definition ? definition->cluster + "/" + std::to_string(definition->version) : std::string();
    }
    Task<std::string> schema(const ResourceType& type) override {
      const auto definition = co_await api_.definition_of(view_, type);
      const auto defined = definition ? type_in(*definition, type.resource()) : nullptr;
      co_return defined ? defined->schema : std::string();
    }

   private:
    FleetApi& api_;
    const View& view_;
  };

  View(FleetApi& api, const std::string& name)
      : cluster(name),
        reader(api.fleet_, name.empty() ? api.fleet_forms_ : api.native_forms_, name),
        resources(api.runtime_, reader, options_of(api)) {}

  ReadApiOptions options_of(FleetApi& api) {
    ReadApiOptions options;
    if (!cluster.empty()) options.root = std::string(kClusters) + cluster;
    options.schemas = std::make_shared<Schemas>(api, *this);
    options.home = [this, &api](const ResourcePath& path) { return api.home_of(*this, path); };
    return options;
  }

  const std::string cluster;  // Empty: all.
  FleetView reader;
  ReadApi resources;
  unsigned generation = 0;  // Of the directory, that its catalog is of.
  std::map<Resource, Learned> learned;
};

FleetApi::FleetApi(Runtime& runtime, FleetReader& fleet)
    : runtime_(runtime), fleet_(fleet), directory_(fleet, runtime.clock) {}

FleetApi::~FleetApi() = default;

FleetApi::View& FleetApi::view_of(const std::string& cluster) {
  auto& view = views_[cluster];
  if (view == nullptr) view = std::make_unique<View>(*this, cluster);
  if (std::exchange(view->generation, directory_.generation()) != directory_.generation()) {
    view->resources.serve(directory_.catalog(cluster));
  }
  return *view;
}

void FleetApi::cut_watches() {
  for (auto& [cluster, view] : views_) view->resources.cut_watches();
}

std::size_t FleetApi::open_watches() const {
  std::size_t open = 0;
  for (const auto& [cluster, view] : views_) open += view->resources.open_watches();
  return open;
}

Task<ApiResponse> FleetApi::handle(const ApiRequest& request, Target target) {
  directory_.refresh();
  std::string cluster;
  if (target.path.starts_with(kClusters)) {
    const auto end = std::min(target.path.find('/', kClusters.size()), target.path.size());
    cluster = target.path.substr(kClusters.size(), end - kClusters.size());
    target.path.erase(0, end);
    const auto path = ResourcePath::parse(target.path);
    if (path && directory_.clusters().empty()) co_return ApiResponse(nothing_yet(path->resource));
    if (!directory_.knows(cluster)) co_return ApiResponse(no_such_cluster(cluster, directory_.clusters()));
  } else if (const auto names = names_in(target.query.get("clusters")); !names.empty()) {
    narrow(target.query, names);
  }
  View& view = view_of(cluster);
  const auto path = ResourcePath::parse(target.path);
  if (path && view.resources.catalog().all().empty()) co_return ApiResponse(nothing_yet(path->resource));
  if (path && cluster.empty()) name_node_in_its_cluster(*path, target.query);
  if (path && request.method == "GET" && path->name.empty() && !target.query.is_true("watch")) {
    if (auto none = no_events(view, request, *path)) co_return std::move(*none);
  }
  if (path) co_await learn_columns(view, request, *path);
  const Query query = target.query;
  auto response = co_await view.resources.handle(request, std::move(target));
  if (path && request.method == "GET" && !query.is_true("watch")) warn(view, *path, query, response);
  for (auto& warning : response.warnings) warning = readable(warning);
  co_return response;
}

void FleetApi::name_node_in_its_cluster(const ResourcePath& path, Query& query) const {
  static constexpr std::string_view kNodeName = "spec.nodeName";
  if (!path.resource.group.empty() || path.resource.name != "pods" || !path.name.empty()) return;
  const auto fields = FieldSelector::parse(query.get("fieldSelector"));
  const auto node = fields ? fields->required_value(kNodeName) : std::nullopt;
  const auto parts = node ? fleet_namespace(*node) : std::nullopt;
  // A cluster may name its nodes with dots, too; the name of one that we know is ours in front of them.
  if (!parts || !directory_.knows(parts->first)) return;
  query.set("fieldSelector", fields->requiring(kNodeName, parts->second).canonical());
  narrow(query, {parts->first});
}

std::optional<ApiResponse> FleetApi::no_events(const View& view, const ApiRequest& request,
                                               const ResourcePath& path) const {
  const auto& types = event_types();
  const auto type = std::ranges::find(types, path.resource, [](const auto& one) { return one->resource(); });
  if (type == types.end() || view.resources.catalog().find(path.resource) != nullptr) return std::nullopt;
  const auto form = negotiate(request.accept);
  if (!form) return ApiResponse(form.error());
  ListMeta meta;
  meta.version = view.reader.version();
  ApiResponse response(Presentation(*type, *form, TableObjects::Metadata, runtime_.clock).list({}, meta));
  std::string why = "events are not followed: start the provider with --allow events";
  for (const auto& other : types) {
    if (view.resources.catalog().find(other->resource()) == nullptr) continue;
    why = "events are followed as " + other->api_version() + " alone";
  }
  response.warnings.push_back(std::move(why));
  return response;
}

// A definition may change at any time, so it is looked at whenever its columns are to be shown; it is read anew only
// where it has changed.
Task<void> FleetApi::learn_columns(View& view, const ApiRequest& request, const ResourcePath& path) {
  const auto type = view.resources.catalog().find(path.resource);
  if (type == nullptr || has_built_in_columns(*type)) co_return;
  const auto form = negotiate(request.accept);
  if (!form || *form != Form::Table) co_return;
  const auto definition = co_await definition_of(view, *type);
  if (!definition) co_return;

  auto& learned = view.learned[path.resource];
  const bool is_same = learned.cluster == definition->cluster && learned.version == definition->version;
  if (is_same && learned.type == type) co_return;
  auto with_columns = std::make_shared<ResourceType>(*type);
  if (is_same) {
    with_columns->columns = learned.type->columns;
  } else {
    with_columns->columns.clear();
    if (const auto defined = type_in(*definition, path.resource)) with_columns->columns = defined->columns;
  }
  learned.cluster = definition->cluster;
  learned.version = definition->version;
  learned.type = with_columns;
  auto catalog = view.resources.catalog();
  catalog.replace(learned.type);
  view.resources.serve(std::move(catalog));
}

Task<std::optional<FleetObject>> FleetApi::definition_of(const View& view, const ResourceType& type) {
  const std::string definitions = definitions_resource().group_resource();
  const auto cluster = directory_.cluster_with(definitions, type.collection, view.cluster);
  if (!cluster) co_return std::nullopt;
  const FleetPlace place{*cluster, ObjectKey{"", type.collection}};
  auto definition = co_await fleet_.get(definitions, place);
  if (!definition) co_return std::nullopt;
  co_return std::move(*definition);
}

std::string FleetApi::home_of(const View& view, const ResourcePath& path) const {
  if (!view.cluster.empty()) return "the cluster " + view.cluster + " itself";
  const auto parts = fleet_namespace(path.in_namespace ? path.namespace_name : path.name);
  if (!parts || !directory_.knows(parts->first)) {
    return "the cluster itself, whose name stands before the first dot of the namespace or, where there is none, of "
           "the "
           "name";
  }
  return "the cluster " + parts->first + " itself, where " +
         (path.in_namespace ? "the namespace is " : "the name is ") + parts->second;
}

void FleetApi::warn(const View& view, const ResourcePath& path, const Query& query, ApiResponse& response) const {
  const auto type = view.resources.catalog().find(path.resource);
  if (type == nullptr) return;
  std::vector<std::string> asked = names_in(query.get("clusters"));
  std::ranges::sort(asked);
  if (!view.cluster.empty()) {
    asked = {view.cluster};
  } else if (type->info.namespaced ? path.in_namespace : !path.name.empty()) {
    const std::string& told = path.in_namespace ? path.namespace_name : path.name;
    const auto parts = fleet_namespace(told);
    if (!parts) {
      response.warnings.push_back((path.in_namespace ? "the namespace \"" : "the name \"") + told +
                                  "\" names no cluster: write <cluster>." + told +
                                  (path.in_namespace ? ", or ask for all namespaces" : ""));
      return;
    }
    asked = {parts->first};
  }
  for (const auto& name : asked) {
    if (!directory_.knows(name)) response.warnings.push_back(no_such_cluster(name, directory_.clusters()).message);
  }
  auto away = directory_.away(type->collection);
  if (!asked.empty()) {
    std::erase_if(away, [&](const std::string& name) { return !std::ranges::binary_search(asked, name); });
  }
  if (away.empty()) return;
  response.warnings.push_back("what is shown of " + type->collection + " may be old: " +
                              (away.size() == 1 ? "the cluster " : std::to_string(away.size()) + " clusters ") +
                              listed(away) + (away.size() == 1 ? " is away" : " are away"));
}

}  // namespace tinf::api
