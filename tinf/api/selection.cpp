// Which fields can be selected on: what kube-apiserver offers for each kind; of mirrored objects, any.
#include "tinf/api/selection.h"

#include <algorithm>

namespace tinf::api {
namespace {

bool is_offered(const ResourceType& type, std::string_view path) {
  static const std::map<std::string, std::vector<std::string_view>, std::less<>> offered{
      {"pods",
       {"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
        "status.phase", "status.podIP", "status.nominatedNodeName"}},
      {"events",
       {"involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
        "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason",
        "reportingComponent", "source", "type"}},
      {"secrets", {"type"}},
      {"namespaces", {"status.phase"}},
      {"nodes", {"spec.unschedulable"}},
      {"services", {"spec.clusterIP", "spec.type"}},
      {"replicasets.apps", {"status.replicas"}},
  };
  if (type.mirrored) return true;
  if (path == "metadata.name" || (path == "metadata.namespace" && type.info.namespaced)) return true;
  const auto found = type.built_in ? offered.find(type.collection) : offered.end();
  return found != offered.end() && std::find(found->second.begin(), found->second.end(), path) != found->second.end();
}

// The longest text that can be found is the key of a label: a domain, a slash and a name.
constexpr std::size_t kLongestSearch = 253 + 1 + 63;
constexpr std::size_t kLongestOwner = 128;
// Each is looked at in each object, a field by a walk through its bytes.
constexpr std::size_t kMostFields = 32;
constexpr std::size_t kMostLabels = 64;

// Of a selector that was parsed. Commas in parentheses stand between values.
std::size_t requirements_in(std::string_view labels) {
  bool in_values = false;
  std::size_t count = 1;
  for (const char c : labels) {
    if (c == '(' || c == ')') in_values = c == '(';
    if (c == ',' && !in_values) ++count;
  }
  return count;
}

Status too_many(const std::string& selector, std::size_t count, std::size_t most) {
  return Status::bad_request(selector + ": " + std::to_string(count) + " requirements are too many: at most " +
                             std::to_string(most) + " are allowed");
}

Answer<void> check_search(const std::string& search, const std::string& owner) {
  if (search.size() > kLongestSearch) {
    return Status::bad_request("search: " + std::to_string(search.size()) +
                               " bytes are more than a name or a label has: at most " + std::to_string(kLongestSearch) +
                               " are allowed");
  }
  if (owner.size() > kLongestOwner || owner.find_first_of("/ \t\r\n") != std::string::npos) {
    return Status::bad_request("owner: \"" + owner.substr(0, kLongestOwner) +
                               "\" is no uid: write what stands in metadata.uid of the owner");
  }
  return {};
}

}  // namespace

bool is_of_version(const ResourceType& type, const Object& object) {
  return !type.mirrored || object.api_version() == type.api_version() || object.kind() == kPartialObjectMetadata;
}

Answer<Selection> Selection::parse(const ResourceTypePtr& type, const ResourcePath& path, const Query& query) {
  Selection selection(type);
  selection.namespace_ = path.namespace_name;
  auto labels = LabelSelector::parse(query.get("labelSelector"));
  if (!labels) return Status::bad_request("unable to parse requirement: " + labels.error().message);
  auto fields = FieldSelector::parse(query.get("fieldSelector"));
  if (!fields) return Status::bad_request("unable to parse the field selector: " + fields.error().message);
  const auto paths = fields->paths();
  if (paths.size() > kMostFields) return too_many("fieldSelector", paths.size(), kMostFields);
  const auto count = requirements_in(query.get("labelSelector"));
  if (count > kMostLabels) return too_many("labelSelector", count, kMostLabels);
  for (const auto field : paths) {
    if (!is_offered(*type, field)) {
      return Status::bad_request("field label not supported: " + std::string(field) + " (of " + type->collection + ")");
    }
  }
  if (type->mirrored) {
    selection.search_ = query.get("search");
    selection.owner_ = query.get("owner");
    if (auto fits = check_search(selection.search_, selection.owner_); !fits) return fits.error();
  }
  selection.labels_ = std::move(*labels);
  selection.fields_ = std::move(*fields);
  return selection;
}

PageQuery Selection::query() const {
  PageQuery query;
  query.namespace_name = namespace_;
  query.labels = labels_;
  query.fields = fields_;
  query.search = search_;
  query.owner = owner_;
  return query;
}

bool Selection::matches(const Object& object) const {
  if (!namespace_.empty() && object.namespace_name() != namespace_) return false;
  if (!is_of_version(object)) return false;
  return (labels_.empty() || labels_.matches(object)) && (fields_.empty() || fields_.matches(object));
}

}  // namespace tinf::api
