#include "tinf/store/database/rows.h"

#include <algorithm>
#include <boost/json.hpp>

namespace tinf::database {

namespace json = boost::json;

namespace {

bool before(const ObjectPtr& a, const ObjectPtr& b) {
  return std::pair(a->namespace_name(), a->name()) < std::pair(b->namespace_name(), b->name());
}

}  // namespace

void CopyState::stand_at(const Scope& scope, const ResourceVersion& version) {
  if (const std::string id = scope.id(); wanted != id) {
    wanted = id;
    position.clear();
  }
  resource = scope.resource;
  if (!version.empty()) position = version.text();
}

ResourceVersion CopyState::version_for(const Scope& scope) const {
  return wanted == scope.id() ? ResourceVersion(position) : ResourceVersion();
}

bool CopyState::is_sum_of(const std::vector<InventoryEntry>& all) const {
  Fingerprint sum;
  for (const InventoryEntry& entry : all) sum.add(entry.hash);
  return sum == fingerprint;
}

std::vector<FleetCluster> clusters_of(const std::map<std::string, FleetCluster>& clusters) {
  std::vector<FleetCluster> all;
  for (const auto& [name, cluster] : clusters) all.push_back(cluster);
  return all;
}

Marks Marks::of(const Object& object) {
  Marks marks;
  marks.labels = object.labels();
  std::ranges::sort(marks.labels);
  marks.owners = object.owner_uids();
  std::ranges::sort(marks.owners);
  return marks;
}

std::string Marks::labels_json() const {
  json::object all;
  for (const auto& [name, value] : labels) all[name] = value;
  return json::serialize(all);
}

ObjectPtr object_of(std::string_view namespace_name, std::string_view name, std::string_view body) {
  ParseOptions as_it_is;
  as_it_is.keep_managed_fields = true;
  auto object = Object::parse(body, as_it_is);
  const bool it = object && (*object)->namespace_name() == namespace_name && (*object)->name() == name;
  return it ? std::move(*object) : Object::of_key(namespace_name, name);
}

Result<std::vector<ObjectPtr>> in_key_order(std::vector<ObjectPtr> objects) {
  if (std::ranges::find(objects, nullptr) != objects.end())
    return Error(Code::Invalid, "a list holds a null object: nothing was stored");
  std::ranges::stable_sort(objects, before);
  std::vector<ObjectPtr> once;
  once.reserve(objects.size());
  for (ObjectPtr& object : objects) {
    if (!once.empty() && !before(once.back(), object)) once.pop_back();
    once.push_back(std::move(object));
  }
  return once;
}

Result<void> check(const std::vector<WatchEvent>& events) {
  for (const WatchEvent& event : events) {
    if (event.type == EventType::Deleted || event.object) continue;
    return Error(Code::Invalid, "event " + std::string(to_string(event.type)) + " of \"" + event.key.to_string() +
                                    "\" carries no object: nothing of its batch was stored");
  }
  return Result<void>();
}

std::vector<ResourceInfo> offer_of_json(std::string_view text) {
  boost::system::error_code error;
  const json::value tree = json::parse({text.data(), text.size()}, error);
  std::vector<ResourceInfo> offer;
  if (error || !tree.is_array()) return offer;
  for (const json::value& item : tree.get_array()) {
    const json::object* one = item.if_object();
    if (one == nullptr) continue;
    const auto word = [&](const char* name) {
      const json::value* value = one->if_contains(name);
      return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
    };
    const auto words = [&](const char* name) {
      std::vector<std::string> out;
      const json::value* value = one->if_contains(name);
      if (value == nullptr || !value->is_array()) return out;
      for (const json::value& each : value->get_array()) {
        if (each.is_string()) out.emplace_back(each.get_string());
      }
      return out;
    };
    const auto flag = [&](const char* name) {
      const json::value* value = one->if_contains(name);
      return value != nullptr && value->is_bool() && value->get_bool();
    };
    offer.push_back(ResourceInfo{{word("group"), word("version"), word("resource")},
                                 word("kind"),
                                 word("singular"),
                                 words("shortNames"),
                                 words("categories"),
                                 words("verbs"),
                                 flag("namespaced"),
                                 flag("preferred")});
  }
  return offer;
}

}  // namespace tinf::database
