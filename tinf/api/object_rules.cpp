// Follows k8s.io/apiserver/pkg/registry/rest: BeforeCreate, BeforeUpdate, BeforeDelete.
#include "tinf/api/object_rules.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>

#include "tinf/api/timestamp.h"
#include "tinf/patch/json.h"

namespace tinf::api {
namespace json = boost::json;
namespace {

constexpr std::size_t kMaximumName = 253;
constexpr std::size_t kMaximumLabel = 63;

std::string new_uid(Random& random) {
  const auto high = random.next();
  const auto low = random.next();
  char text[40];
  std::snprintf(text, sizeof text, "%08x-%04x-4%03x-%04x-%012llx", static_cast<unsigned>(high >> 32),
                static_cast<unsigned>(high >> 16) & 0xffffu, static_cast<unsigned>(high) & 0xfffu,
                (static_cast<unsigned>(low >> 48) & 0x3fffu) | 0x8000u,
                static_cast<unsigned long long>(low & 0xffffffffffffull));
  return text;
}

std::string generated_name(std::string_view prefix, Random& random) {
  constexpr std::string_view kLetters = "bcdfghjklmnpqrstvwxz2456789";  // As Kubernetes: no words, no look-alikes.
  std::string name(prefix.substr(0, kMaximumLabel - 5));
  for (int i = 0; i < 5; ++i) name += kLetters[random.below(kLetters.size())];
  return name;
}

bool is_label(std::string_view text) {
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !text.empty() && text.size() <= kMaximumLabel && plain(text.front()) && plain(text.back()) &&
         std::all_of(text.begin(), text.end(), [&](char c) { return plain(c) || c == '-'; });
}

bool is_subdomain(std::string_view text) {
  if (text.empty() || text.size() > kMaximumName) return false;
  while (true) {
    const auto dot = text.find('.');
    // A step of a subdomain may be longer than a label, as in Kubernetes.
    const auto step = text.substr(0, dot);
    const auto edge = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
    if (step.empty() || !edge(step.front()) || !edge(step.back()) ||
        !std::all_of(step.begin(), step.end(), [&](char c) { return edge(c) || c == '-'; })) {
      return false;
    }
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

Answer<void> check_name(const ResourceType& type, std::string_view name) {
  const bool label = type.resource() == namespaces_resource() || type.collection == "services";
  if (label ? is_label(name) : is_subdomain(name)) return {};
  const std::string_view rule =
      label ? "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
              "and end "
              "with an alphanumeric character"
            : "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
              "start and end with an alphanumeric character";
  return Status::invalid(
      type.resource(), type.info.kind, name,
      {StatusCause{"FieldValueInvalid", "Invalid value: \"" + std::string(name) + "\": " + std::string(rule),
                   "metadata.name"}});
}

Answer<void> check_string_map(const json::value& tree, std::string_view field) {
  const json::value* map = json_at(tree, {"metadata", field});
  if (map == nullptr || map->is_null()) return {};
  const auto* entries = map->if_object();
  if (entries == nullptr ||
      !std::all_of(entries->begin(), entries->end(), [](const auto& e) { return e.value().is_string(); })) {
    return Status::bad_request("metadata." + std::string(field) + " must be a map from strings to strings");
  }
  return {};
}

void keep(const json::value& old, json::object& metadata, std::string_view field) {
  const json::string_view name(field.data(), field.size());
  if (const json::value* value = json_at(old, {"metadata", field})) {
    metadata[name] = *value;
  } else {
    metadata.stable_erase(name);
  }
}

bool same_but_metadata_and_status(const json::value& a, const json::value& b) {
  const auto strip = [](const json::value& tree) {
    json::value copy = tree;
    copy.get_object().erase("metadata");
    copy.get_object().erase("status");
    return copy;
  };
  return strip(a) == strip(b);
}

constexpr std::array<std::string_view, 9> kMetadataFirst{
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
};
constexpr std::array<std::string_view, 3> kObjectFirst{"kind", "apiVersion", "metadata"};

template <std::size_t kCount>
json::object ordered(const json::object& object, const std::array<std::string_view, kCount>& first) {
  json::object result;
  for (const auto name : first) {
    const json::string_view key(name.data(), name.size());
    if (const auto* value = object.if_contains(key)) result[key] = *value;
  }
  for (const auto& member : object) {
    if (!result.contains(member.key())) result[member.key()] = member.value();
  }
  return result;
}

}  // namespace

Answer<void> conform(const ResourceType& type, const ResourcePath& path, json::value& tree) {
  auto* object = tree.if_object();
  if (object == nullptr) return Status::bad_request("the body is not a JSON object");
  const auto expect = [&](std::string_view field, const std::string& wanted, std::string_view what) -> Answer<void> {
    const auto found = json_string_at(tree, {field});
    if (!found.empty() && found != wanted) {
      return Status::bad_request("the " + std::string(what) + " in the data (" + std::string(found) +
                                 ") does not match the expected " + std::string(what) + " (" + wanted + ")");
    }
    (*object)[json::string_view(field.data(), field.size())] = wanted;
    return {};
  };
  if (auto fits = expect("apiVersion", type.api_version(), "API version"); !fits) return fits;
  if (auto fits = expect("kind", type.info.kind, "kind"); !fits) return fits;
  if (json_at(tree, {"metadata"}) != nullptr && !json_at(tree, {"metadata"})->is_object()) {
    return Status::bad_request("metadata must be an object");
  }
  auto& metadata = json_object_in(*object, "metadata");
  const auto namespace_name = json_string_at(tree, {"metadata", "namespace"});
  if (!type.info.namespaced) {
    metadata.stable_erase("namespace");
  } else if (namespace_name.empty()) {
    metadata["namespace"] = path.namespace_name;
  } else if (namespace_name != path.namespace_name) {
    return Status::bad_request("the namespace of the provided object does not match the namespace sent on the request");
  }
  const auto name = json_string_at(tree, {"metadata", "name"});
  if (!path.name.empty() && !name.empty() && name != path.name) {
    return Status::bad_request("the name of the object (" + std::string(name) +
                               ") does not match the name on the URL (" + path.name + ")");
  }
  for (const auto field : {"labels", "annotations"}) {
    if (auto fits = check_string_map(tree, field); !fits) return fits;
  }
  metadata.stable_erase("managedFields");
  metadata.stable_erase("selfLink");
  return {};
}

Answer<void> prepare_create(const ResourceType& type, json::value& tree, Random& random, WallTime now) {
  auto& metadata = json_object_in(tree.get_object(), "metadata");
  if (!json_string_at(tree, {"metadata", "resourceVersion"}).empty()) {
    return Status::bad_request("resourceVersion should not be set on objects to be created");
  }
  const std::string prefix(json_string_at(tree, {"metadata", "generateName"}));
  if (json_string_at(tree, {"metadata", "name"}).empty()) {
    if (prefix.empty()) {
      return Status::invalid(
          type.resource(), type.info.kind, "",
          {StatusCause{"FieldValueRequired", "Required value: name or generateName is required", "metadata.name"}});
    }
    metadata["name"] = generated_name(prefix, random);
  }
  if (auto fits = check_name(type, json_string_at(tree, {"metadata", "name"})); !fits) return fits;
  metadata["uid"] = new_uid(random);
  metadata["creationTimestamp"] = timestamp(now);
  for (const auto field : {"deletionTimestamp", "deletionGracePeriodSeconds", "generation"})
    metadata.stable_erase(field);
  if (type.has_generation) metadata["generation"] = 1;
  // Who writes status at creation: nobody but nodes, which register with theirs.
  if (type.has_status && type.collection != "nodes") tree.get_object().stable_erase("status");
  apply_defaults(type, tree, now);
  derive(type, tree, now);
  return {};
}

Answer<void> prepare_update(const ResourceType& type, const ResourcePath& path, const json::value& old,
                            json::value& tree) {
  const auto name = json_string_at(old, {"metadata", "name"});
  const auto uid = json_string_at(tree, {"metadata", "uid"});
  if (!uid.empty() && uid != json_string_at(old, {"metadata", "uid"})) {
    return Status::conflict(type.resource(), name,
                            "Precondition failed: UID in precondition: " + std::string(uid) +
                                ", UID in object meta: " + std::string(json_string_at(old, {"metadata", "uid"})));
  }
  const auto version = json_string_at(tree, {"metadata", "resourceVersion"});
  if (!version.empty() && version != "0" && version != json_string_at(old, {"metadata", "resourceVersion"})) {
    return Status::of(Error(Code::Conflict, ""), type.resource(), name);
  }
  if (path.subresource == "status") {
    json::value status = json_at(tree, {"status"}) != nullptr ? *json_at(tree, {"status"}) : json::value();
    tree = old;
    if (status.is_null()) {
      tree.get_object().stable_erase("status");
    } else {
      tree.get_object()["status"] = std::move(status);
    }
    return {};
  }
  auto& metadata = json_object_in(tree.get_object(), "metadata");
  for (const auto field : {"name", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
                           "deletionGracePeriodSeconds"}) {
    keep(old, metadata, field);
  }
  if (type.has_status) {
    if (const json::value* status = json_at(old, {"status"})) {
      tree.get_object()["status"] = *status;
    } else {
      tree.get_object().stable_erase("status");
    }
  }
  if (type.has_generation && !same_but_metadata_and_status(old, tree)) {
    metadata["generation"] = json_integer_at(old, {"metadata", "generation"}) + 1;
  }
  return {};
}

bool is_deleting(const json::value& tree) {
  return !json_string_at(tree, {"metadata", "deletionTimestamp"}).empty();
}

bool has_finalizers(const json::value& tree) {
  const json::value* list = json_at(tree, {"metadata", "finalizers"});
  return list != nullptr && list->is_array() && !list->get_array().empty();
}

void mark_deleted(const ResourceType& type, json::value& tree, WallTime now) {
  auto& metadata = json_object_in(tree.get_object(), "metadata");
  metadata["deletionTimestamp"] = timestamp(now);
  metadata["deletionGracePeriodSeconds"] = 0;
  if (type.has_generation) metadata["generation"] = json_integer_at(tree, {"metadata", "generation"}) + 1;
  if (type.resource() == namespaces_resource()) json_object_in(tree.get_object(), "status")["phase"] = "Terminating";
}

Result<ObjectPtr> made_without_commit(const json::value& tree) {
  json::object object = ordered(tree.get_object(), kObjectFirst);
  object["metadata"] = ordered(object["metadata"].get_object(), kMetadataFirst);
  return Object::parse(json_text(object));
}

ObjectMaker maker_of(json::value tree) {
  auto shared = std::make_shared<json::value>(std::move(tree));
  return [shared](StoreVersion version) {
    json_object_in(shared->get_object(), "metadata")["resourceVersion"] = std::to_string(version);
    return made_without_commit(*shared);
  };
}

}  // namespace tinf::api
