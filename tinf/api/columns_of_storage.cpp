// Volumes, their claims, and what provides them.
#include "tinf/api/column.h"

namespace tinf::api {
namespace json = boost::json;
namespace {

std::string access_modes(const Tree& o, Path path) {
  constexpr std::pair<const char*, const char*> kShort[] = {
      {"ReadWriteOnce", "RWO"}, {"ReadOnlyMany", "ROX"}, {"ReadWriteMany", "RWX"}, {"ReadWriteOncePod", "RWOP"}};
  const auto modes = strings_at(o, path);
  std::vector<std::string> words;
  for (const auto& [mode, word] : kShort) {
    if (std::ranges::find(modes, mode) != modes.end()) words.emplace_back(word);
  }
  return joined(words);
}

// An old annotation goes before the field.
json::value storage_class(const Tree& o, WallTime) {
  const auto annotated = json_string_at(o, {"metadata", "annotations", "volume.beta.kubernetes.io/storage-class"});
  return text(annotated.empty() ? json_string_at(o, {"spec", "storageClassName"}) : annotated);
}

json::value phase(const Tree& o, WallTime) {
  if (is_at(o, {"metadata", "deletionTimestamp"})) return "Terminating";
  return text(json_string_at(o, {"status", "phase"}));
}

json::value volume_modes(const Tree& o, WallTime) {
  return text(access_modes(o, {"spec", "accessModes"}));
}

json::value volume_capacity(const Tree& o, WallTime) {
  const std::string capacity = scalar_at(o, {"spec", "capacity", "storage"});
  return text_or(capacity, "0");
}

json::value volume_claim(const Tree& o, WallTime) {
  if (!is_at(o, {"spec", "claimRef"})) return "";
  return text(string_at(o, {"spec", "claimRef", "namespace"}) + "/" + string_at(o, {"spec", "claimRef", "name"}));
}

bool is_bound(const Tree& claim) {
  return !json_string_at(claim, {"spec", "volumeName"}).empty();
}

json::value claim_modes(const Tree& o, WallTime) {
  return text(is_bound(o) ? access_modes(o, {"status", "accessModes"}) : "");
}

json::value claim_capacity(const Tree& o, WallTime) {
  if (!is_bound(o)) return "";
  return text_or(scalar_at(o, {"status", "capacity", "storage"}), "0");
}

json::value class_name(const Tree& o, WallTime) {
  bool is_default = false;
  for (const auto key :
       {"storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"}) {
    is_default = is_default || json_string_at(o, {"metadata", "annotations", key}) == "true";
  }
  return text(string_at(o, {"metadata", "name"}) + (is_default ? " (default)" : ""));
}

json::value driver_attaches(const Tree& o, WallTime) {
  return !is_at(o, {"spec", "attachRequired"}) || is_true_at(o, {"spec", "attachRequired"});
}

json::value driver_tokens(const Tree& o, WallTime) {
  if (!is_at(o, {"spec", "tokenRequests"})) return "<unset>";
  return text(joined(each(list_at(o, {"spec", "tokenRequests"}),
                          [](const Tree& request) { return string_at(request, {"audience"}); })));
}

json::value driver_modes(const Tree& o, WallTime) {
  return text_or(joined(strings_at(o, {"spec", "volumeLifecycleModes"})), "<none>");
}

}  // namespace

const ColumnTable& columns_of_storage() {
  static const ColumnTable columns{
      {"persistentvolumes",
       {kName,
        {"Capacity", "string", 0, volume_capacity},
        {"Access Modes", "string", 0, volume_modes},
        {"Reclaim Policy", "string", 0, text_cell<"spec", "persistentVolumeReclaimPolicy">},
        {"Status", "string", 0, phase},
        {"Claim", "string", 0, volume_claim},
        {"StorageClass", "string", 0, storage_class},
        {"VolumeAttributesClass", "string", 0, text_cell_or<"<unset>", "spec", "volumeAttributesClassName">},
        {"Reason", "string", 0, text_cell<"status", "reason">},
        kAge,
        {"VolumeMode", "string", 1, text_cell_or<"<unset>", "spec", "volumeMode">}}},
      {"persistentvolumeclaims",
       {kName,
        {"Status", "string", 0, phase},
        {"Volume", "string", 0, text_cell<"spec", "volumeName">},
        {"Capacity", "string", 0, claim_capacity},
        {"Access Modes", "string", 0, claim_modes},
        {"StorageClass", "string", 0, storage_class},
        {"VolumeAttributesClass", "string", 0, text_cell_or<"<unset>", "spec", "volumeAttributesClassName">},
        kAge,
        {"VolumeMode", "string", 1, text_cell_or<"<unset>", "spec", "volumeMode">}}},
      {"storageclasses.storage.k8s.io",
       {{"Name", "string", 0, class_name, "name"},
        {"Provisioner", "string", 0, text_cell<"provisioner">},
        {"ReclaimPolicy", "string", 0, text_cell_or<"Delete", "reclaimPolicy">},
        {"VolumeBindingMode", "string", 0, text_cell_or<"Immediate", "volumeBindingMode">},
        {"AllowVolumeExpansion", "string", 0, bool_cell<"allowVolumeExpansion">},
        kAge}},
      {"volumeattributesclasses.storage.k8s.io", {kName, {"DriverName", "string", 0, text_cell<"driverName">}, kAge}},
      {"volumeattachments.storage.k8s.io",
       {kName,
        {"Attacher", "string", 0, text_cell<"spec", "attacher">, "name"},
        {"PV", "string", 0, text_cell<"spec", "source", "persistentVolumeName">},
        {"Node", "string", 0, text_cell<"spec", "nodeName">},
        {"Attached", "boolean", 0, bool_cell<"status", "attached">},
        kAge}},
      {"csinodes.storage.k8s.io", {kName, {"Drivers", "integer", 0, count_cell<"spec", "drivers">}, kAge}},
      {"csidrivers.storage.k8s.io",
       {kName,
        {"AttachRequired", "boolean", 0, driver_attaches},
        {"PodInfoOnMount", "boolean", 0, bool_cell<"spec", "podInfoOnMount">},
        {"StorageCapacity", "boolean", 0, bool_cell<"spec", "storageCapacity">},
        {"TokenRequests", "string", 0, driver_tokens},
        {"RequiresRepublish", "boolean", 0, bool_cell<"spec", "requiresRepublish">},
        {"Modes", "string", 0, driver_modes},
        kAge}},
      {"csistoragecapacities.storage.k8s.io", {kName, kCreatedAt}},
  };
  return columns;
}

}  // namespace tinf::api
