// From a path to the view that it is about, and what a client should know of an answer beyond it.
#include "tinf/api/fleet_api.h"

#include <algorithm>

#include "tinf/api/access_review.h"
#include "tinf/api/columns.h"
#include "tinf/api/fleet_question.h"
#include "tinf/object/text.h"
#include "tinf/patch/json.h"

namespace tinf::api {
namespace {

constexpr std::size_t kMostNames = 10;           // In a message.
constexpr std::size_t kMostClusters = 1000;      // That one request names.
constexpr std::size_t kMostUnknownClusters = 6;  // That one answer warns of, so that other warnings have room.

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

// Before there is anything: that a resource is not there would be believed.
Status nothing_yet(const Resource& resource) {
  Status status = Status::of(
      Error(Code::Unavailable, "nothing is followed yet: no cluster has shown itself since this process began"),
      resource, "");
  status.retry_after_seconds = 1;
  return status;
}

// Sorted, no doubles.
std::vector<std::string> names_in(std::string_view text) {
  std::vector<std::string> names;
  for (const std::string_view name : split(text, ',')) {
    if (!name.empty()) names.emplace_back(name);
  }
  std::ranges::sort(names);
  names.erase(std::unique(names.begin(), names.end()), names.end());
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
    Schemas(FleetApi& api, const View& view, FleetDirectory::Known known = nullptr)
        : api_(api), view_(view), known_(std::move(known)) {}

    Task<std::string> state(const ResourceType& type) override {
      const auto definition = co_await api_.definition_of(view_, type, known_);
      co_return definition ? definition->cluster + "/" + std::to_string(definition->version) : std::string();
    }
    Task<std::string> schema(const ResourceType& type) override {
      const auto definition = co_await api_.definition_of(view_, type, known_);
      const auto defined = definition ? type_in(*definition, type.resource()) : nullptr;
      co_return defined ? defined->schema : std::string();
    }

   private:
    FleetApi& api_;
    const View& view_;
    const FleetDirectory::Known known_;
  };

  View(FleetApi& api, const std::string& name)
      : cluster(name),
        forms(name.empty() ? api.fleet_forms_ : api.native_forms_),
        reader(api.fleet_, forms, name),
        resources(api.runtime_, reader, options_of(api)) {}

  ReadApiOptions options_of(FleetApi& api) {
    ReadApiOptions options;
    if (!cluster.empty()) options.root = std::string(kClusters) + cluster;
    options.schemas = std::make_shared<Schemas>(api, *this);
    options.home = [this, &api](const ResourcePath& path) { return api.home_of(*this, path); };
    return options;
  }

  const std::string cluster;  // Empty: all.
  const std::shared_ptr<FleetForms> forms;
  FleetView reader;
  ReadApi resources;
  unsigned generation = 0;  // Of the directory, that its catalog is of.
  std::map<Resource, Learned> learned;
};

FleetApi::FleetApi(Runtime& runtime, FleetReader& fleet)
    : runtime_(runtime), fleet_(fleet), directory_(fleet, runtime.clock) {}

FleetApi::~FleetApi() = default;

struct FleetApi::Sight {
  Sight(const ApiRequest& request, const Target& target) {
    if (request.access == nullptr || request.access->is_to_everything()) return;
    access = request.access;
    const auto question = question_of(request.method, target);
    shown = [access = access, question](const std::string& cluster) { return access->shows(question, cluster); };
    known = [access = access](const Resource& resource, const std::string& cluster) {
      return access->knows(resource.group, resource.name, cluster);
    };
  }

  bool knows(const std::string& cluster) const { return access == nullptr || access->knows(cluster); }
  bool shows(const std::string& cluster) const { return !shown || shown(cluster); }

  AccessPtr access;  // Null: to everything.
  FleetView::Shown shown;
  FleetDirectory::Known known;
};

Status FleetApi::no_such_cluster(const std::string& name, const Sight& sight) const {
  auto known = directory_.clusters();
  std::erase_if(known, [&](const std::string& one) { return !sight.knows(one); });
  const Resource clusters{"", "", "clusters"};
  Status status = Status::not_found(clusters, name);
  status.message += known.empty() ? ": none is known yet" : ": known are " + listed(known);
  return status;
}

const ResourceCatalog& FleetApi::catalog_for(const std::string& cluster, const Sight& sight) {
  constexpr std::size_t kMostCatalogs = 64;  // Clients discover in bursts, one path after another.
  std::string key = cluster + '/';           // A cluster's name has none.
  const Identity& who = sight.access->who();
  key += std::to_string(who.user.size()) + ':' + who.user;
  for (const auto& group : who.groups) key += std::to_string(group.size()) + ':' + group;
  if (catalogs_.size() >= kMostCatalogs && !catalogs_.contains(key)) catalogs_.clear();
  auto& made = catalogs_[key];
  if (!made || made->generation != directory_.generation() || made->policy != sight.access->policy()) {
    made.emplace(directory_.generation(), sight.access->policy(), directory_.catalog(cluster, sight.known));
  }
  return made->catalog;
}

Verdict FleetApi::judge(const ApiRequest& request, const AccessQuestion& question) {
  Verdict verdict;
  if (request.access == nullptr) return verdict;
  const Access& access = *request.access;
  if (!question.path.empty()) {  // What there is besides objects shows no more than they may know.
    const bool hidden = question.cluster && !access.knows(*question.cluster);
    if (hidden) verdict.refusal = Status::forbidden_path(refusal(access.who(), question));
    return verdict;
  }
  const auto path = ResourcePath::parse(FleetPath::parse(Target::parse(request.target).path).path);
  if (path && is_review(request.method, *path)) return verdict;
  auto decision = access.decide(question);
  if (!decision.allowed) {
    // Who may read what they would write is told where that can be done.
    auto reading = question;
    reading.verb = "get";
    const bool writes = request.method != "GET" && request.method != "HEAD";
    if (writes) decision = access.decide(reading);
  }
  if (!decision.allowed) {
    const auto slash = question.resource.find('/');
    const Resource resource{question.group, "", question.resource.substr(0, slash)};
    verdict.refusal = Status::forbidden(resource, question.told_name, refusal(access.who(), question), {});
  }
  verdict.rule = std::move(decision.rule);
  return verdict;
}

std::string FleetApi::label_of(const AccessQuestion& question) const {
  const auto all = views_.find("");
  return all == views_.end() ? std::string() : all->second->resources.label_of(question);
}

ApiResponse FleetApi::answer_review(const ApiRequest& request, const ResourcePath& path,
                                    const std::optional<std::string>& cluster) const {
  const Access everything{Identity(), nullptr};
  const Access& access = request.access == nullptr ? everything : *request.access;
  const auto known = [&](const Resource& one, const std::string& of) { return access.knows(one.group, one.name, of); };
  const auto is_namespaced = [&](const Resource& resource) -> std::optional<bool> {
    const auto* info = directory_.find(resource.group_resource(), cluster.value_or(""), known);
    return info == nullptr ? std::nullopt : std::optional(info->namespaced);
  };
  return review(request, path, cluster, access, is_namespaced);
}

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
  const Sight sight(request, target);
  const auto fleet = FleetPath::parse(target.path);
  const std::string cluster = fleet.cluster.value_or("");
  target.path = fleet.path;
  const auto path = ResourcePath::parse(target.path);
  if (path && is_review(request.method, *path)) co_return answer_review(request, *path, fleet.cluster);
  if (fleet.cluster) {
    if (path && directory_.clusters().empty()) co_return ApiResponse(nothing_yet(path->resource));
    if (!directory_.knows(cluster)) co_return ApiResponse(no_such_cluster(cluster, sight));
  } else if (const auto names = names_in(target.query.get("clusters")); !names.empty()) {
    if (names.size() > kMostClusters) {
      co_return ApiResponse(Status::bad_request("clusters: " + std::to_string(names.size()) +
                                                " names are too many: at most " + std::to_string(kMostClusters) +
                                                " are allowed"));
    }
    narrow(target.query, names);
  }
  View& view = view_of(cluster);
  if (!path && sight.access != nullptr) co_return co_await document_for(view, request, target, sight);
  if (path && view.resources.catalog().all().empty()) co_return ApiResponse(nothing_yet(path->resource));
  if (path && cluster.empty()) name_node_in_its_cluster(*path, sight, target.query);
  const bool is_known = !path || sight.access == nullptr || directory_.has(path->resource, cluster, sight.known);
  if (path && request.method == "GET" && path->name.empty() && !target.query.is_true("watch")) {
    if (auto none = no_events(view, request, *path, is_known)) co_return std::move(*none);
  }
  if (!is_known) co_return ApiResponse(Status::unknown_path());
  if (path) co_await learn_columns(view, request, *path, sight);
  const Query query = target.query;
  auto reader = std::make_shared<FleetView>(fleet_, view.forms, cluster, sight.shown);
  const auto type = path ? type_for(view, path->resource, sight) : nullptr;
  auto response = co_await view.resources.handle_of(request, std::move(target), std::move(reader), type);
  if (path && request.method == "GET" && !query.is_true("watch")) warn(view, type, *path, query, sight, response);
  for (auto& warning : response.warnings) warning = readable(warning);
  co_return response;
}

// Discovery and schemas as far as the caller may know of them.
Task<ApiResponse> FleetApi::document_for(View& view, const ApiRequest& request, const Target& target,
                                         const Sight& sight) {
  View::Schemas schemas(*this, view, sight.known);
  auto found = co_await view.resources.document(catalog_for(view.cluster, sight), schemas, request, target);
  if (!found) found.emplace(Status::unknown_path());
  co_return std::move(*found);
}

void FleetApi::name_node_in_its_cluster(const ResourcePath& path, const Sight& sight, Query& query) const {
  static constexpr std::string_view kNodeName = "spec.nodeName";
  if (!path.resource.group.empty() || path.resource.name != "pods" || !path.name.empty()) return;
  const auto fields = FieldSelector::parse(query.get("fieldSelector"));
  const auto node = fields ? fields->required_value(kNodeName) : std::nullopt;
  const auto parts = node ? fleet_namespace(*node) : std::nullopt;
  // A cluster may name its nodes with dots, too; the name of one that we know is ours in front of them.
  if (!parts || !directory_.knows(parts->first) || !sight.knows(parts->first)) return;
  query.set("fieldSelector", fields->requiring(kNodeName, parts->second).canonical());
  narrow(query, {parts->first});
}

std::optional<ApiResponse> FleetApi::no_events(const View& view, const ApiRequest& request, const ResourcePath& path,
                                               bool is_known) const {
  const auto& types = event_types();
  const auto type = std::ranges::find(types, path.resource, [](const auto& one) { return one->resource(); });
  if (type == types.end() || (is_known && view.resources.catalog().find(path.resource) != nullptr)) {
    return std::nullopt;
  }
  const auto form = negotiate(request.accept);
  if (!form) return ApiResponse(form.error());
  ListMeta meta;
  meta.version = view.reader.version();
  ApiResponse response(Presentation(*type, *form, TableObjects::Metadata, runtime_.clock).list({}, meta));
  std::string why = "events are not followed: start the provider with --allow events";
  for (const auto& other : types) {
    if (!is_known || view.resources.catalog().find(other->resource()) == nullptr) continue;
    why = "events are followed as " + other->api_version() + " alone";
  }
  response.warnings.push_back(std::move(why));
  return response;
}

ResourceTypePtr FleetApi::type_for(const View& view, const Resource& resource, const Sight& sight) {
  auto type = view.resources.catalog().find(resource);
  if (type == nullptr || sight.access == nullptr) return type;
  const auto known = catalog_for(view.cluster, sight).find(resource);
  if (known == nullptr) return nullptr;
  auto made = std::make_shared<ResourceType>(*known);
  made->columns = type->columns;  // learn_columns() has looked at who asks.
  return made;
}

// A definition may change at any time, so it is looked at whenever its columns are to be shown; it is read anew only
// where it has changed.
Task<void> FleetApi::learn_columns(View& view, const ApiRequest& request, const ResourcePath& path,
                                   const Sight& sight) {
  auto type = view.resources.catalog().find(path.resource);
  if (type == nullptr || has_built_in_columns(*type)) co_return;
  const auto form = negotiate(request.accept);
  if (!form || *form != Form::Table) co_return;
  const auto definition = co_await definition_of(view, *type, sight.known);
  type = view.resources.catalog().find(path.resource);  // The catalog may be another one by now.
  if (type == nullptr) co_return;
  auto& learned = view.learned[path.resource];
  const auto show = [&](const ResourceTypePtr& with_columns) {
    auto catalog = view.resources.catalog();
    catalog.replace(with_columns);
    view.resources.serve(std::move(catalog));
  };
  if (!definition) {
    if (type->columns.empty()) co_return;
    // Columns that somebody else may see.
    auto plain = std::make_shared<ResourceType>(*type);
    plain->columns.clear();
    learned = View::Learned();
    show(plain);
    co_return;
  }
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
  show(with_columns);
}

Task<std::optional<FleetObject>> FleetApi::definition_of(const View& view, const ResourceType& type,
                                                         const FleetDirectory::Known& known) {
  const std::string definitions = definitions_resource().group_resource();
  const auto cluster = directory_.cluster_with(definitions, type.resource(), view.cluster, known);
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

void FleetApi::warn(const View& view, const ResourceTypePtr& type, const ResourcePath& path, const Query& query,
                    const Sight& sight, ApiResponse& response) const {
  if (type == nullptr) return;
  std::vector<std::string> asked = names_in(query.get("clusters"));
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
  std::size_t unknown = 0;
  for (const auto& name : asked) {
    if (directory_.knows(name) && sight.knows(name)) continue;
    if (++unknown > kMostUnknownClusters) break;
    response.warnings.push_back(no_such_cluster(name, sight).message);
  }
  auto away = directory_.away(type->collection);
  std::erase_if(away, [&](const std::string& name) { return !sight.shows(name); });
  if (!asked.empty()) {
    std::erase_if(away, [&](const std::string& name) { return !std::ranges::binary_search(asked, name); });
  }
  if (away.empty()) return;
  response.warnings.push_back("what is shown of " + type->collection + " may be old: " +
                              (away.size() == 1 ? "the cluster " : std::to_string(away.size()) + " clusters ") +
                              listed(away) + (away.size() == 1 ? " is away" : " are away"));
}

}  // namespace tinf::api
