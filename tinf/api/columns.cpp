// One table of columns per built-in kind; each cell is a small function of the object's tree.
#include "tinf/api/columns.h"

#include <cctype>
#include <charconv>
#include <functional>
#include <set>

#include "tinf/api/timestamp.h"
#include "tinf/patch/json.h"

namespace tinf::api {
namespace json = boost::json;
namespace {

using Tree = json::value;
using Cell = json::value (*)(const Tree& object, WallTime now);

struct Column {
  const char* name;
  const char* type;
  int priority;
  Cell cell;
};
using Columns = std::vector<Column>;

json::value text(std::string_view value) {
  return json::value(json::string_view(value.data(), value.size()));
}

json::value text_or(std::string_view value, std::string_view otherwise) {
  return text(value.empty() ? otherwise : value);
}

const json::array& list_at(const Tree& object, std::initializer_list<std::string_view> path) {
  static const json::array nothing;
  const Tree* at = json_at(object, path);
  return at != nullptr && at->is_array() ? at->get_array() : nothing;
}

std::size_t count_at(const Tree& object, std::initializer_list<std::string_view> path) {
  const Tree* at = json_at(object, path);
  if (at == nullptr) return 0;
  return at->is_object() ? at->get_object().size() : at->is_array() ? at->get_array().size() : 0;
}

// The items' strings, with commas between them.
template <class Of>
std::string joined(const json::array& items, Of of) {
  std::string all;
  for (const auto& item : items) {
    const std::string one = of(item);
    if (!one.empty()) all += (all.empty() ? "" : ",") + one;
  }
  return all;
}

std::string joined_map(const Tree* map) {
  std::string all;
  if (map == nullptr || !map->is_object()) return all;
  for (const auto& entry : map->get_object()) {
    all += all.empty() ? "" : ",";
    all += std::string(entry.key()) + "=" + (entry.value().is_string() ? std::string(entry.value().get_string()) : "");
  }
  return all;
}

std::string ready_of(std::int64_t ready, std::int64_t wanted) {
  return std::to_string(ready) + "/" + std::to_string(wanted);
}

json::value name(const Tree& o, WallTime) {
  return text(json_string_at(o, {"metadata", "name"}));
}

json::value age_since(std::string_view timestamp, WallTime now) {
  const auto then = parse_timestamp(timestamp);
  if (!then) return "<unknown>";
  return text(human_duration(std::chrono::floor<std::chrono::seconds>(now) - *then));
}

json::value age(const Tree& o, WallTime now) {
  return age_since(json_string_at(o, {"metadata", "creationTimestamp"}), now);
}

constexpr Column kName{"Name", "string", 0, name};
constexpr Column kAge{"Age", "string", 0, age};

// The columns of anything that carries a pod template.
const Column kContainers{"Containers", "string", 1, [](const Tree& o, WallTime) {
                           return text(joined(list_at(o, {"spec", "template", "spec", "containers"}),
                                              [](const Tree& c) { return std::string(json_string_at(c, {"name"})); }));
                         }};
const Column kImages{"Images", "string", 1, [](const Tree& o, WallTime) {
                       return text(joined(list_at(o, {"spec", "template", "spec", "containers"}),
                                          [](const Tree& c) { return std::string(json_string_at(c, {"image"})); }));
                     }};
const Column kTemplateSelector{"Selector", "string", 1, [](const Tree& o, WallTime) {
                                 return text_or(joined_map(json_at(o, {"spec", "selector", "matchLabels"})), "<none>");
                               }};

template <int kStatusField>
json::value replica_count(const Tree& o, WallTime) {
  constexpr std::string_view kFields[] = {"replicas", "readyReplicas", "updatedReplicas", "availableReplicas"};
  return json_integer_at(o, {"status", kFields[kStatusField]});
}

json::value desired(const Tree& o, WallTime) {
  return json_integer_at(o, {"spec", "replicas"}, 1);
}

json::value ready_of_desired(const Tree& o, WallTime) {
  return text(ready_of(json_integer_at(o, {"status", "readyReplicas"}), json_integer_at(o, {"spec", "replicas"}, 1)));
}

json::value pod_status(const Tree& o, WallTime) {
  if (json_at(o, {"metadata", "deletionTimestamp"}) != nullptr) return "Terminating";
  for (const auto& status : list_at(o, {"status", "containerStatuses"})) {
    for (const auto state : {"waiting", "terminated"}) {
      const auto reason = json_string_at(status, {"state", state, "reason"});
      if (!reason.empty()) return text(reason);
    }
  }
  const auto reason = json_string_at(o, {"status", "reason"});
  return text_or(reason.empty() ? json_string_at(o, {"status", "phase"}) : reason, "Unknown");
}

json::value pod_ready(const Tree& o, WallTime) {
  std::int64_t ready = 0;
  for (const auto& status : list_at(o, {"status", "containerStatuses"})) {
    const Tree* flag = json_at(status, {"ready"});
    if (flag != nullptr && flag->is_bool() && flag->get_bool()) ++ready;
  }
  return text(ready_of(ready, static_cast<std::int64_t>(count_at(o, {"spec", "containers"}))));
}

json::value pod_restarts(const Tree& o, WallTime) {
  std::uint64_t restarts = 0;  // Unsigned, because the numbers may be anything.
  for (const auto& status : list_at(o, {"status", "containerStatuses"}))
    restarts += static_cast<std::uint64_t>(json_integer_at(status, {"restartCount"}));
  return text(std::to_string(static_cast<std::int64_t>(restarts)));
}

json::value service_ports(const Tree& o, WallTime) {
  return text_or(joined(list_at(o, {"spec", "ports"}),
                        [](const Tree& port) {
                          std::string one = std::to_string(json_integer_at(port, {"port"}));
                          if (const auto node = json_integer_at(port, {"nodePort"})) one += ":" + std::to_string(node);
                          const auto protocol = json_string_at(port, {"protocol"});
                          return one + "/" + std::string(protocol.empty() ? "TCP" : protocol);
                        }),
                 "<none>");
}

json::value service_external(const Tree& o, WallTime) {
  const auto type = json_string_at(o, {"spec", "type"});
  if (type == "ExternalName") return text(json_string_at(o, {"spec", "externalName"}));
  std::string ips = joined(list_at(o, {"spec", "externalIPs"}), [](const Tree& ip) {
    return ip.is_string() ? std::string(ip.get_string()) : std::string();
  });
  if (type == "LoadBalancer" && ips.empty()) {
    ips = joined(list_at(o, {"status", "loadBalancer", "ingress"}), [](const Tree& ingress) {
      const auto ip = json_string_at(ingress, {"ip"});
      return std::string(ip.empty() ? json_string_at(ingress, {"hostname"}) : ip);
    });
    return text_or(ips, "<pending>");
  }
  return text_or(ips, "<none>");
}

json::value node_status(const Tree& o, WallTime) {
  std::string status = "Unknown";
  for (const auto& condition : list_at(o, {"status", "conditions"})) {
    if (json_string_at(condition, {"type"}) == "Ready") {
      status = json_string_at(condition, {"status"}) == "True" ? "Ready" : "NotReady";
    }
  }
  const Tree* cordoned = json_at(o, {"spec", "unschedulable"});
  if (cordoned != nullptr && cordoned->is_bool() && cordoned->get_bool()) status += ",SchedulingDisabled";
  return text(status);
}

json::value node_roles(const Tree& o, WallTime) {
  constexpr std::string_view kPrefix = "node-role.kubernetes.io/";
  std::set<std::string> roles;
  if (const Tree* labels = json_at(o, {"metadata", "labels"}); labels != nullptr && labels->is_object()) {
    for (const auto& label : labels->get_object()) {
      const std::string_view key(label.key().data(), label.key().size());
      if (key.starts_with(kPrefix)) roles.emplace(key.substr(kPrefix.size()));
    }
  }
  std::string all;
  for (const auto& role : roles) all += (all.empty() ? "" : ",") + role;
  return text_or(all, "<none>");
}

template <bool kInternal>
json::value node_address(const Tree& o, WallTime) {
  for (const auto& address : list_at(o, {"status", "addresses"})) {
    if (json_string_at(address, {"type"}) == (kInternal ? "InternalIP" : "ExternalIP")) {
      return text(json_string_at(address, {"address"}));
    }
  }
  return "<none>";
}

json::value event_age(const Tree& o, WallTime now) {
  for (const auto field : {"lastTimestamp", "eventTime", "firstTimestamp"}) {
    const auto at = json_string_at(o, {field});
    if (!at.empty()) return age_since(at, now);
  }
  return "<unknown>";
}

json::value event_object(const Tree& o, WallTime) {
  std::string kind(json_string_at(o, {"involvedObject", "kind"}));
  for (char& c : kind) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text(kind + "/" + std::string(json_string_at(o, {"involvedObject", "name"})));
}

// A cell that is a string somewhere in the object, spelled as a literal path.
#define TINF_TEXT_CELL(otherwise, ...) \
  [](const Tree& o, WallTime) { return text_or(json_string_at(o, {__VA_ARGS__}), otherwise); }
#define TINF_COUNT_CELL(...) \
  [](const Tree& o, WallTime) { return json::value(static_cast<std::int64_t>(count_at(o, {__VA_ARGS__}))); }
#define TINF_NUMBER_CELL(...) [](const Tree& o, WallTime) { return json::value(json_integer_at(o, {__VA_ARGS__})); }

const std::map<std::string, Columns, std::less<>>& built_in_columns() {
  static const std::map<std::string, Columns, std::less<>> columns{
      {"configmaps", {kName, {"Data", "string", 0, TINF_COUNT_CELL("data")}, kAge}},
      {"secrets",
       {kName,
        {"Type", "string", 0, TINF_TEXT_CELL("", "type")},
        {"Data", "integer", 0, TINF_COUNT_CELL("data")},
        kAge}},
      {"namespaces", {kName, {"Status", "string", 0, TINF_TEXT_CELL("", "status", "phase")}, kAge}},
      {"serviceaccounts", {kName, {"Secrets", "string", 0, TINF_COUNT_CELL("secrets")}, kAge}},
      {"pods",
       {kName,
        {"Ready", "string", 0, pod_ready},
        {"Status", "string", 0, pod_status},
        {"Restarts", "string", 0, pod_restarts},
        kAge,
        {"IP", "string", 1, TINF_TEXT_CELL("<none>", "status", "podIP")},
        {"Node", "string", 1, TINF_TEXT_CELL("<none>", "spec", "nodeName")},
        {"Nominated Node", "string", 1, TINF_TEXT_CELL("<none>", "status", "nominatedNodeName")},
        {"Readiness Gates", "string", 1, [](const Tree&, WallTime) { return json::value("<none>"); }}}},
      {"services",
       {kName,
        {"Type", "string", 0, TINF_TEXT_CELL("ClusterIP", "spec", "type")},
        {"Cluster-IP", "string", 0, TINF_TEXT_CELL("<none>", "spec", "clusterIP")},
        {"External-IP", "string", 0, service_external},
        {"Port(s)", "string", 0, service_ports},
        kAge,
        {"Selector", "string", 1,
         [](const Tree& o, WallTime) {
           return text_or(joined_map(json_at(o, {"spec", "selector"})), "<none>");
         }}}},
      {"nodes",
       {kName,
        {"Status", "string", 0, node_status},
        {"Roles", "string", 0, node_roles},
        kAge,
        {"Version", "string", 0, TINF_TEXT_CELL("", "status", "nodeInfo", "kubeletVersion")},
        {"Internal-IP", "string", 1, node_address<true>},
        {"External-IP", "string", 1, node_address<false>},
        {"OS-Image", "string", 1, TINF_TEXT_CELL("<unknown>", "status", "nodeInfo", "osImage")},
        {"Kernel-Version", "string", 1, TINF_TEXT_CELL("<unknown>", "status", "nodeInfo", "kernelVersion")},
        {"Container-Runtime", "string", 1,
         TINF_TEXT_CELL("<unknown>", "status", "nodeInfo", "containerRuntimeVersion")}}},
      {"events",
       {{"Last Seen", "string", 0, event_age},
        {"Type", "string", 0, TINF_TEXT_CELL("", "type")},
        {"Reason", "string", 0, TINF_TEXT_CELL("", "reason")},
        {"Object", "string", 0, event_object},
        {"Message", "string", 0, TINF_TEXT_CELL("", "message")},
        {"Name", "string", 1, name}}},
      {"deployments.apps",
       {kName,
        {"Ready", "string", 0, ready_of_desired},
        {"Up-to-date", "string", 0, replica_count<2>},
        {"Available", "string", 0, replica_count<3>},
        kAge,
        kContainers,
        kImages,
        kTemplateSelector}},
      {"replicasets.apps",
       {kName,
        {"Desired", "integer", 0, desired},
        {"Current", "integer", 0, replica_count<0>},
        {"Ready", "integer", 0, replica_count<1>},
        kAge,
        kContainers,
        kImages,
        kTemplateSelector}},
      {"statefulsets.apps", {kName, {"Ready", "string", 0, ready_of_desired}, kAge, kContainers, kImages}},
      {"daemonsets.apps",
       {kName,
        {"Desired", "integer", 0, TINF_NUMBER_CELL("status", "desiredNumberScheduled")},
        {"Current", "integer", 0, TINF_NUMBER_CELL("status", "currentNumberScheduled")},
        {"Ready", "integer", 0, TINF_NUMBER_CELL("status", "numberReady")},
        {"Up-to-date", "integer", 0, TINF_NUMBER_CELL("status", "updatedNumberScheduled")},
        {"Available", "integer", 0, TINF_NUMBER_CELL("status", "numberAvailable")},
        kAge,
        kContainers,
        kImages,
        kTemplateSelector}},
      {"leases.coordination.k8s.io",
       {kName, {"Holder", "string", 0, TINF_TEXT_CELL("", "spec", "holderIdentity")}, kAge}},
      {"customresourcedefinitions.apiextensions.k8s.io",
       {kName, {"Created At", "date", 0, TINF_TEXT_CELL("", "metadata", "creationTimestamp")}}},
  };
  return columns;
}

#undef TINF_TEXT_CELL
#undef TINF_COUNT_CELL
#undef TINF_NUMBER_CELL

const Columns& columns_of(const ResourceType& type) {
  static const Columns otherwise{kName, kAge};
  if (!type.built_in) return otherwise;
  const auto found = built_in_columns().find(type.collection);
  return found == built_in_columns().end() ? otherwise : found->second;
}

// The JSONPath of printer columns: members, quoted members, indexes, and [?(@.key=="value")].
const Tree* walk_json_path(const Tree& object, std::string_view path) {
  const Tree* at = &object;
  while (!path.empty() && at != nullptr) {
    if (path.front() == '.') {
      const auto end = std::min(path.find_first_of(".[", 1), path.size());
      at = json_at(*at, {path.substr(1, end - 1)});
      path.remove_prefix(end);
      continue;
    }
    const auto close = path.find(']');
    if (path.front() != '[' || close == std::string_view::npos) return nullptr;
    auto inside = path.substr(1, close - 1);
    path.remove_prefix(close + 1);
    if (inside.size() >= 2 && (inside.front() == '\'' || inside.front() == '"')) {
      at = json_at(*at, {inside.substr(1, inside.size() - 2)});
      continue;
    }
    const auto* items = at->if_array();
    at = nullptr;
    if (items == nullptr) return nullptr;
    if (inside.starts_with("?(@.")) {
      const auto equals = inside.find("==");
      const auto value_from = inside.find_first_of("'\"");
      const auto value_to = inside.find_last_of("'\"");
      if (equals == std::string_view::npos || value_to <= value_from) return nullptr;
      auto key = inside.substr(4, equals - 4);
      while (!key.empty() && key.back() == ' ') key.remove_suffix(1);
      const auto value = inside.substr(value_from + 1, value_to - value_from - 1);
      for (const auto& item : *items) {
        if (json_string_at(item, {key}) == value) {
          at = &item;
          break;
        }
      }
      continue;
    }
    std::size_t index = 0;
    if (std::from_chars(inside.data(), inside.data() + inside.size(), index).ec != std::errc()) return nullptr;
    if (index < items->size()) at = &(*items)[index];
  }
  return at;
}

json::value custom_cell(const PrinterColumn& column, const Tree& object, WallTime now) {
  const Tree* value = walk_json_path(object, column.json_path);
  if (value == nullptr || value->is_null()) return nullptr;
  if (column.type == "date") return value->is_string() ? age_since(value->get_string(), now) : json::value("<unknown>");
  if (column.type == "string" && !value->is_string()) return text(json_text(*value));
  return *value;
}

}  // namespace

bool has_built_in_columns(const ResourceType& type) {
  return type.built_in && built_in_columns().contains(type.collection);
}

std::string human_duration(std::chrono::seconds duration) {
  const auto seconds = duration.count();
  const auto both = [](std::int64_t a, const char* first, std::int64_t b, const char* second) {
    return std::to_string(a) + first + (b == 0 ? "" : std::to_string(b) + second);
  };
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  if (seconds < 120) return std::to_string(seconds) + "s";
  const auto minutes = seconds / 60;
  if (minutes < 10) return both(minutes, "m", seconds % 60, "s");
  if (minutes < 180) return std::to_string(minutes) + "m";
  const auto hours = minutes / 60;
  if (hours < 8) return both(hours, "h", minutes % 60, "m");
  if (hours < 48) return std::to_string(hours) + "h";
  if (hours < 192) return both(hours / 24, "d", hours % 24, "h");
  const auto days = hours / 24;
  if (days < 2 * 365) return std::to_string(days) + "d";
  if (days < 8 * 365) return both(days / 365, "y", days % 365, "d");
  return std::to_string(days / 365) + "y";
}

std::string column_definitions(const ResourceType& type) {
  json::array list;
  const auto add = [&](std::string_view name, std::string_view kind, std::string_view format,
                       std::string_view description, int priority) {
    list.push_back(json::object{{"name", text(name)},
                                {"type", text(kind)},
                                {"format", text(format)},
                                {"description", text(description)},
                                {"priority", priority}});
  };
  if (!type.columns.empty()) {
    add("Name", "string", "name", "", 0);
    for (const auto& column : type.columns) {
      // kube-apiserver sends dates as strings that say the age.
      add(column.name, column.type, column.format, column.description, column.priority);
    }
  } else {
    for (const auto& column : columns_of(type)) {
      add(column.name, column.type, column.name == kName.name ? "name" : "", "", column.priority);
    }
  }
  return json_text(list);
}

json::array cells(const ResourceType& type, const Tree& object, WallTime now) {
  json::array row;
  if (!type.columns.empty()) {
    row.push_back(name(object, now));
    for (const auto& column : type.columns) row.push_back(custom_cell(column, object, now));
  } else {
    for (const auto& column : columns_of(type)) row.push_back(column.cell(object, now));
  }
  return row;
}

}  // namespace tinf::api
