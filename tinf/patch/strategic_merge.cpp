// Strategic merge patch as k8s.io/apimachinery/pkg/util/strategicpatch defines it, for the built-in kinds.
// The merge keys come from the patchMergeKey tags of k8s.io/api; a field's name is enough to tell them apart.
#include <algorithm>
#include <array>
#include <optional>

#include "tinf/patch/json.h"
#include "tinf/patch/patch.h"

namespace tinf {
namespace json = boost::json;
namespace {

constexpr std::string_view kPatch = "$patch";
constexpr std::string_view kRetainKeys = "$retainKeys";
constexpr std::string_view kSetElementOrder = "$setElementOrder/";
constexpr std::string_view kDeleteFromPrimitiveList = "$deleteFromPrimitiveList/";

struct MergeKey {
  std::string_view field;
  std::string_view key;
};

constexpr std::array kMergeKeys{
    MergeKey{"containers", "name"},
    MergeKey{"initContainers", "name"},
    MergeKey{"ephemeralContainers", "name"},
    MergeKey{"env", "name"},
    MergeKey{"volumes", "name"},
    MergeKey{"volumeMounts", "mountPath"},
    MergeKey{"volumeDevices", "devicePath"},
    MergeKey{"imagePullSecrets", "name"},
    MergeKey{"secrets", "name"},
    MergeKey{"hostAliases", "ip"},
    MergeKey{"podIPs", "ip"},
    MergeKey{"hostIPs", "ip"},
    MergeKey{"topologySpreadConstraints", "topologyKey"},
    MergeKey{"resourceClaims", "name"},
    MergeKey{"schedulingGates", "name"},
    MergeKey{"ownerReferences", "uid"},
    MergeKey{"conditions", "type"},
    MergeKey{"addresses", "type"},
    MergeKey{"taints", "key"},
};

constexpr std::array<std::string_view, 2> kMergedPrimitiveLists{"finalizers", "podCIDRs"};

std::string_view view(json::string_view text) {
  return {text.data(), text.size()};
}

// Of which key two items of the list `field` are the same one; nothing: the list is replaced as a whole.
std::optional<std::string_view> merge_key(std::string_view field, const json::array& items) {
  if (field == "ports") {  // A container's are told apart by containerPort, a Service's by port.
    const bool containers = std::any_of(items.begin(), items.end(), [](const json::value& item) {
      return item.is_object() && item.get_object().contains("containerPort");
    });
    return containers ? "containerPort" : "port";
  }
  for (const auto& entry : kMergeKeys) {
    if (entry.field == field) return entry.key;
  }
  return std::nullopt;
}

bool is_merged_primitive_list(std::string_view field) {
  return std::find(kMergedPrimitiveLists.begin(), kMergedPrimitiveLists.end(), field) != kMergedPrimitiveLists.end();
}

bool same_key(const json::value& a, const json::value& b, std::string_view key) {
  const json::value* left = json_at(a, {key});
  const json::value* right = json_at(b, {key});
  return left != nullptr && right != nullptr && *left == *right;
}

json::array::iterator find_item(json::array& items, const json::value& wanted, std::string_view key) {
  return std::find_if(items.begin(), items.end(), [&](const json::value& item) { return same_key(item, wanted, key); });
}

Result<void> merge_object(json::object& target, const json::object& patch);

Result<void> merge_list(json::array& target, const json::array& patch, std::string_view key) {
  const bool replaces = std::any_of(
      patch.begin(), patch.end(), [](const json::value& item) { return json_string_at(item, {kPatch}) == "replace"; });
  if (replaces) target.clear();
  for (const auto& item : patch) {
    if (!item.is_object())
      return Error(Code::Invalid, "a list merged by \"" + std::string(key) + "\" has an item that is no object");
    const auto directive = json_string_at(item, {kPatch});
    if (directive == "replace" && json_at(item, {key}) == nullptr) continue;
    if (json_at(item, {key}) == nullptr) {
      return Error(Code::Invalid,
                   "the item " + json_text(item) + " lacks its list's merge key \"" + std::string(key) + "\"");
    }
    const auto found = find_item(target, item, key);
    if (directive == "delete") {
      if (found != target.end()) target.erase(found);
      continue;
    }
    json::value* place = found != target.end() ? &*found : &target.emplace_back(json::object());
    if (!place->is_object()) *place = json::object();
    if (auto merged = merge_object(place->get_object(), item.get_object()); !merged) return merged;
  }
  return Result<void>();
}

// Puts items in the order asked for; those not named stay behind them in their own order.
void order_list(json::array& items, const json::array& order, std::optional<std::string_view> key) {
  const auto position = [&](const json::value& item) {
    const auto found = std::find_if(order.begin(), order.end(), [&](const json::value& wanted) {
      return key ? same_key(item, wanted, *key) : item == wanted;
    });
    return found - order.begin();
  };
  std::stable_sort(items.begin(), items.end(),
                   [&](const json::value& a, const json::value& b) { return position(a) < position(b); });
}

void merge_primitives(json::array& target, const json::array& patch) {
  for (const auto& item : patch) {
    if (std::find(target.begin(), target.end(), item) == target.end()) target.push_back(item);
  }
}

Result<void> merge_member(json::object& target, std::string_view name, const json::value& patch) {
  const json::string_view key(name.data(), name.size());
  if (patch.is_null()) {
    target.stable_erase(key);
    return Result<void>();
  }
  if (const auto* object = patch.if_object()) return merge_object(json_object_in(target, name), *object);
  const auto* list = patch.if_array();
  const bool of_objects = list != nullptr && !list->empty() && list->front().is_object();
  const auto by = of_objects ? merge_key(name, *list) : std::nullopt;
  json::value& place = target[key];
  if (by || (list != nullptr && is_merged_primitive_list(name))) {
    if (!place.is_array()) place = json::array();
    if (by) return merge_list(place.get_array(), *list, *by);
    merge_primitives(place.get_array(), *list);
    return Result<void>();
  }
  place = patch;
  return Result<void>();
}

Result<void> apply_directive(json::object& target, std::string_view name, const json::value& value) {
  const auto* list = value.if_array();
  if (name == kRetainKeys && list != nullptr) {
    std::vector<std::string> gone;
    for (const auto& member : target) {
      if (std::find(list->begin(), list->end(), json::value(member.key())) == list->end())
        gone.emplace_back(view(member.key()));
    }
    for (const auto& key : gone) target.stable_erase(key);
    return Result<void>();
  }
  const bool orders = name.starts_with(kSetElementOrder);
  if (list != nullptr && (orders || name.starts_with(kDeleteFromPrimitiveList))) {
    const auto field = name.substr(orders ? kSetElementOrder.size() : kDeleteFromPrimitiveList.size());
    json::value* place = target.if_contains(json::string_view(field.data(), field.size()));
    if (place == nullptr || !place->is_array()) return Result<void>();
    auto& items = place->get_array();
    if (orders) {
      const bool of_objects = !list->empty() && list->front().is_object();
      order_list(items, *list, of_objects ? merge_key(field, *list) : std::nullopt);
    } else {
      for (const auto& item : *list) {
        items.erase(std::remove(items.begin(), items.end(), item), items.end());
      }
    }
    return Result<void>();
  }
  return Error(Code::Invalid,
               "the strategic merge patch directive \"" + std::string(name) + "\" is unknown or has a wrong value");
}

Result<void> merge_object(json::object& target, const json::object& patch) {
  if (const auto* directive = patch.if_contains(json::string_view(kPatch.data(), kPatch.size()))) {
    if (*directive == "replace" || *directive == "delete") target.clear();
    if (*directive == "delete") return Result<void>();
    if (*directive != "replace" && *directive != "merge") {
      return Error(Code::Invalid,
                   "the strategic merge patch directive $patch: " + json_text(*directive) + " is unknown");
    }
  }
  // $retainKeys looks at what there was, the orders at what came of it.
  const auto directives = [&](bool before) -> Result<void> {
    for (const auto& member : patch) {
      const auto name = view(member.key());
      if (!name.starts_with("$") || name == kPatch || (name == kRetainKeys) != before) continue;
      if (auto done = apply_directive(target, name, member.value()); !done) return done;
    }
    return Result<void>();
  };
  if (auto done = directives(true); !done) return done;
  for (const auto& member : patch) {
    const auto name = view(member.key());
    if (name.starts_with("$")) continue;
    if (auto done = merge_member(target, name, member.value()); !done) return done;
  }
  return directives(false);
}

}  // namespace

Result<void> apply_strategic_merge_patch(json::value& target, const json::value& patch) {
  if (!patch.is_object()) return Error(Code::Invalid, "a strategic merge patch is an object, and this is none");
  if (!target.is_object()) target = json::object();
  return merge_object(target.get_object(), patch.get_object());
}

}  // namespace tinf
