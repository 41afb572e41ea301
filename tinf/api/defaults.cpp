// Defaults of the built-in kinds: those that kubectl, its tables and common controllers look at.
// Not the full defaulting of kube-apiserver: an absent field stays absent unless a client would stumble.
#include "tinf/api/object_rules.h"
#include "tinf/api/timestamp.h"
#include "tinf/base/base64.h"
#include "tinf/object/text.h"
#include "tinf/patch/json.h"

namespace tinf::api {
namespace json = boost::json;
namespace {

void set_default(json::object& object, json::string_view name, json::value value) {
  if (const auto* present = object.if_contains(name); present != nullptr && !present->is_null()) return;
  object[name] = std::move(value);
}

json::object& spec_of(json::value& tree) {
  return json_object_in(tree.get_object(), "spec");
}

void default_pod_spec(json::object& spec) {
  set_default(spec, "restartPolicy", "Always");
  set_default(spec, "terminationGracePeriodSeconds", 30);
  set_default(spec, "dnsPolicy", "ClusterFirst");
  set_default(spec, "schedulerName", "default-scheduler");
}

json::object condition(json::string_view type, json::string_view reason, json::string_view message, WallTime now) {
  return json::object{{"type", type},
                      {"status", "True"},
                      {"lastTransitionTime", timestamp(now)},
                      {"reason", reason},
                      {"message", message}};
}

void establish(json::value& tree, WallTime now) {
  const json::value* names = json_at(tree, {"spec", "names"});
  json::object accepted = names != nullptr && names->is_object() ? names->get_object() : json::object();
  json::array stored;
  if (const auto* versions = json_at(tree, {"spec", "versions"}); versions != nullptr && versions->is_array()) {
    for (const auto& version : versions->get_array()) {
      const auto* storage = json_at(version, {"storage"});
      const auto* name = json_at(version, {"name"});  // Whether it has one is checked later.
      if (storage != nullptr && *storage == true && name != nullptr) stored.push_back(*name);
    }
  }
  auto& status = json_object_in(tree.get_object(), "status");
  status["acceptedNames"] = std::move(accepted);
  if (!status.contains("conditions")) {
    status["conditions"] =
        json::array{condition("NamesAccepted", "NoConflicts", "no conflicts found", now),
                    condition("Established", "InitialNamesAccepted", "the initial names have been accepted", now)};
  }
  status["storedVersions"] = std::move(stored);
}

}  // namespace

void apply_defaults(const ResourceType& type, json::value& tree, WallTime) {
  auto& object = tree.get_object();
  if (type.resource() == namespaces_resource()) {
    const std::string name(json_string_at(tree, {"metadata", "name"}));
    json_object_in(json_object_in(object, "metadata"), "labels")["kubernetes.io/metadata.name"] = name;
    set_default(spec_of(tree), "finalizers", json::array{"kubernetes"});
    object["status"] = json::object{{"phase", "Active"}};
  } else if (type.collection == "pods") {
    default_pod_spec(spec_of(tree));
    object["status"] = json::object{{"phase", "Pending"}, {"qosClass", "BestEffort"}};
  } else if (type.collection == "services") {
    set_default(spec_of(tree), "type", "ClusterIP");
    set_default(spec_of(tree), "sessionAffinity", "None");
    object["status"] = json::object{{"loadBalancer", json::object()}};
  } else if (type.collection == "secrets") {
    set_default(object, "type", "Opaque");
  } else if (type.built_in && type.resource().group == "apps") {
    if (type.info.kind != "DaemonSet") set_default(spec_of(tree), "replicas", 1);
    set_default(spec_of(tree), "revisionHistoryLimit", 10);
    if (type.info.kind == "Deployment") {
      set_default(spec_of(tree), "progressDeadlineSeconds", 600);
      set_default(spec_of(tree), "strategy",
                  json::object{{"type", "RollingUpdate"},
                               {"rollingUpdate", json::object{{"maxUnavailable", "25%"}, {"maxSurge", "25%"}}}});
    }
    default_pod_spec(json_object_in(json_object_in(spec_of(tree), "template"), "spec"));
    object["status"] = json::object();
  } else if (type.resource() == definitions_resource()) {
    auto& names = json_object_in(spec_of(tree), "names");
    const std::string kind(json_string_at(tree, {"spec", "names", "kind"}));
    set_default(names, "singular", json::string(lower_case(kind)));
    set_default(names, "listKind", json::string(kind + "List"));
    set_default(spec_of(tree), "conversion", json::object{{"strategy", "None"}});
  }
}

void derive(const ResourceType& type, json::value& tree, WallTime now) {
  auto& object = tree.get_object();
  if (type.collection == "secrets") {
    const json::value* plain = json_at(tree, {"stringData"});
    if (plain == nullptr || !plain->is_object()) return;
    const json::object entries = plain->get_object();
    auto& data = json_object_in(object, "data");
    for (const auto& entry : entries) {
      if (entry.value().is_string()) data[entry.key()] = base64_encode(entry.value().get_string());
    }
    object.stable_erase("stringData");
  } else if (type.resource() == definitions_resource()) {
    establish(tree, now);
  }
}

}  // namespace tinf::api
