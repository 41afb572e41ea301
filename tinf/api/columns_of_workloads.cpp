// Pods, and what makes pods.
#include <chrono>
#include <optional>
#include <set>

#include "tinf/api/column.h"
#include "tinf/api/columns.h"
#include "tinf/api/timestamp.h"

namespace tinf::api {
namespace json = boost::json;
namespace {

std::string ratio(std::int64_t part, std::int64_t whole) {
  return std::to_string(part) + "/" + std::to_string(whole);
}

// True as soon as one of these conditions is there and says so; those of one type are told once.
bool has_condition(const Tree& object, std::string_view type) {
  for (const auto& condition : list_at(object, {"status", "conditions"})) {
    if (json_string_at(condition, {"type"}) == type) return json_string_at(condition, {"status"}) == "True";
  }
  return false;
}

// What the states of a pod's containers come to.
class PodSummary {
 public:
  explicit PodSummary(const Tree& pod) : pod_(pod) {
    const std::string phase = string_at(pod, {"status", "phase"});
    const std::string reason = string_at(pod, {"status", "reason"});
    status_ = reason.empty() ? phase : reason;
    for (const auto& condition : list_at(pod, {"status", "conditions"})) {
      if (json_string_at(condition, {"type"}) != "PodScheduled") continue;
      if (json_string_at(condition, {"reason"}) == "SchedulingGated") status_ = "SchedulingGated";
    }
    for (const auto& container : list_at(pod, {"spec", "initContainers"})) {
      if (json_string_at(container, {"restartPolicy"}) == "Always") sidecars_.insert(string_at(container, {"name"}));
    }
    total_ = static_cast<std::int64_t>(count_at(pod, {"spec", "containers"}) + sidecars_.size());
    const bool initializing = look_at_init_containers();
    if (!initializing || has_condition(pod, "Initialized")) look_at_containers();
    if (!is_at(pod, {"metadata", "deletionTimestamp"})) return;
    if (reason == "NodeLost") {
      status_ = "Unknown";
    } else if (phase != "Succeeded" && phase != "Failed") {
      status_ = "Terminating";
    }
  }

  const std::string& status() const { return status_; }
  std::string ready() const { return ratio(ready_, total_); }
  std::string restarts(WallTime now) const {
    const auto count = static_cast<std::int64_t>(restarts_.count);
    std::string words = std::to_string(count);
    if (count == 0 || !restarts_.last) return words;
    const auto ago = std::chrono::floor<std::chrono::seconds>(now) - *restarts_.last;
    return words + " (" + human_duration(ago) + " ago)";
  }

 private:
  struct Restarts {
    std::uint64_t count = 0;  // Unsigned, because the numbers may be anything.
    std::optional<std::chrono::sys_seconds> last;

    void add(const Tree& container) {
      count += static_cast<std::uint64_t>(json_integer_at(container, {"restartCount"}));
      const auto ended = parse_timestamp(json_string_at(container, {"lastState", "terminated", "finishedAt"}));
      if (ended && (!last || *last < *ended)) last = ended;
    }
  };

  static std::string how_it_ended(const Tree& container) {
    const Tree* ended = json_at(container, {"state", "terminated"});
    if (const auto reason = string_at(*ended, {"reason"}); !reason.empty()) return reason;
    if (const auto signal = json_integer_at(*ended, {"signal"})) return "Signal:" + std::to_string(signal);
    return "ExitCode:" + std::to_string(json_integer_at(*ended, {"exitCode"}));
  }

  // True if they are not through: then status_ says where they are.
  bool look_at_init_containers() {
    Restarts of_sidecars;
    std::size_t number = 0;
    std::string where;
    for (const auto& container : list_at(pod_, {"status", "initContainerStatuses"})) {
      const bool is_sidecar = sidecars_.contains(string_at(container, {"name"}));
      const bool has_ended = is_at(container, {"state", "terminated"});
      const std::string waits_for = string_at(container, {"state", "waiting", "reason"});
      ++number;
      restarts_.add(container);
      if (is_sidecar) of_sidecars.add(container);
      if (has_ended && json_integer_at(container, {"state", "terminated", "exitCode"}) == 0) continue;
      if (is_sidecar && is_true_at(container, {"started"})) {
        if (is_true_at(container, {"ready"})) ++ready_;
        continue;
      }
      if (has_ended) {
        where = how_it_ended(container);
      } else if (!waits_for.empty() && waits_for != "PodInitializing") {
        where = waits_for;
      } else {
        where = std::to_string(number - 1) + "/" + std::to_string(count_at(pod_, {"spec", "initContainers"}));
      }
      break;
    }
    of_sidecars_ = of_sidecars;
    if (!where.empty()) status_ = "Init:" + where;
    return !where.empty();
  }

  void look_at_containers() {
    restarts_ = of_sidecars_;
    bool is_any_running = false;
    const auto& containers = list_at(pod_, {"status", "containerStatuses"});
    for (auto container = containers.rbegin(); container != containers.rend(); ++container) {
      restarts_.add(*container);
      const std::string waits_for = string_at(*container, {"state", "waiting", "reason"});
      if (!waits_for.empty()) {
        status_ = waits_for;
      } else if (is_at(*container, {"state", "terminated"})) {
        status_ = how_it_ended(*container);
      } else if (is_true_at(*container, {"ready"}) && is_at(*container, {"state", "running"})) {
        is_any_running = true;
        ++ready_;
      }
    }
    if (status_ == "Completed" && is_any_running) status_ = has_condition(pod_, "Ready") ? "Running" : "NotReady";
  }

  const Tree& pod_;
  std::set<std::string> sidecars_;  // Init containers that run on, by name.
  std::string status_;
  std::int64_t ready_ = 0;
  std::int64_t total_ = 0;
  Restarts restarts_;
  Restarts of_sidecars_;
};

json::value pod_ready(const Tree& o, WallTime) {
  return text(PodSummary(o).ready());
}

json::value pod_status(const Tree& o, WallTime) {
  return text(PodSummary(o).status());
}

json::value pod_restarts(const Tree& o, WallTime now) {
  return text(PodSummary(o).restarts(now));
}

json::value pod_ip(const Tree& o, WallTime) {
  const auto& ips = list_at(o, {"status", "podIPs"});
  const auto first = ips.empty() ? json_string_at(o, {"status", "podIP"}) : json_string_at(ips.front(), {"ip"});
  return text_or(first, "<none>");
}

json::value pod_gates(const Tree& o, WallTime) {
  const auto& gates = list_at(o, {"spec", "readinessGates"});
  if (gates.empty()) return "<none>";
  const auto open = std::ranges::count_if(
      gates, [&](const Tree& gate) { return has_condition(o, json_string_at(gate, {"conditionType"})); });
  return text(ratio(open, static_cast<std::int64_t>(gates.size())));
}

json::value desired(const Tree& o, WallTime) {
  return json_integer_at(o, {"spec", "replicas"}, 1);
}

json::value ready_of_desired(const Tree& o, WallTime) {
  return text(ratio(json_integer_at(o, {"status", "readyReplicas"}), json_integer_at(o, {"spec", "replicas"}, 1)));
}

json::value job_status(const Tree& o, WallTime) {
  for (const auto ended : {"Complete", "Failed"}) {
    if (has_condition(o, ended)) return ended;
  }
  if (is_at(o, {"metadata", "deletionTimestamp"})) return "Terminating";
  for (const auto state : {"Suspended", "FailureTarget", "SuccessCriteriaMet"}) {
    if (has_condition(o, state)) return state;
  }
  return "Running";
}

json::value job_completions(const Tree& o, WallTime) {
  const auto succeeded = json_integer_at(o, {"status", "succeeded"});
  if (is_at(o, {"spec", "completions"})) return text(ratio(succeeded, json_integer_at(o, {"spec", "completions"})));
  const auto parallelism = json_integer_at(o, {"spec", "parallelism"});
  return text(ratio(succeeded, 1) + (parallelism > 1 ? " of " + std::to_string(parallelism) : ""));
}

json::value job_duration(const Tree& o, WallTime now) {
  const auto start = parse_timestamp(json_string_at(o, {"status", "startTime"}));
  if (!start) return "";
  const auto end = parse_timestamp(json_string_at(o, {"status", "completionTime"}));
  return text(human_duration((end ? *end : std::chrono::floor<std::chrono::seconds>(now)) - *start));
}

json::value cron_suspend(const Tree& o, WallTime) {
  if (!is_at(o, {"spec", "suspend"})) return "<unset>";
  return is_true_at(o, {"spec", "suspend"}) ? "True" : "False";
}

json::value cron_last(const Tree& o, WallTime now) {
  const auto last = json_string_at(o, {"status", "lastScheduleTime"});
  return last.empty() ? json::value("<none>") : age_since(last, now);
}

template <Word kField>
json::value budget(const Tree& o, WallTime) {
  return text_or(scalar_at(o, {"spec", kField.view()}), "N/A");
}

// One metric: where it is, and where it is to be. `status` is null while there is none.
std::string scaling_metric(const Tree& spec, const Tree* status) {
  const auto type = json_string_at(spec, {"type"});
  const char* source = type == "External"            ? "external"
                       : type == "Pods"              ? "pods"
                       : type == "Object"            ? "object"
                       : type == "Resource"          ? "resource"
                       : type == "ContainerResource" ? "containerResource"
                                                     : nullptr;
  if (source == nullptr) return "<unknown type>";
  const auto current = [&](std::string_view field) {
    return status == nullptr ? std::string() : scalar_at(*status, {source, "current", field});
  };
  const auto target = [&](std::string_view field) { return scalar_at(spec, {source, "target", field}); };
  const auto or_unknown = [](std::string value) { return value.empty() ? std::string("<unknown>") : value; };
  const std::string average = target("averageValue");
  if (type == "Pods") return or_unknown(current("averageValue")) + "/" + average;
  if (type == "External" || type == "Object") {
    if (!average.empty()) return or_unknown(current("averageValue")) + "/" + average + " (avg)";
    return or_unknown(current("value")) + "/" + target("value");
  }
  std::string words = string_at(spec, {source, "name"}) + ": ";
  if (!average.empty()) return words + or_unknown(current("averageValue")) + "/" + average;
  const auto percent = [](const std::string& value) { return value.empty() ? value : value + "%"; };
  const std::string wanted = percent(target("averageUtilization"));
  return words + or_unknown(percent(current("averageUtilization"))) + "/" + (wanted.empty() ? "<auto>" : wanted);
}

json::value scaling_targets(const Tree& o, WallTime) {
  constexpr std::size_t kMost = 2;
  const auto& specs = list_at(o, {"spec", "metrics"});
  const auto& statuses = list_at(o, {"status", "currentMetrics"});
  std::vector<std::string> metrics;
  for (std::size_t i = 0; i < std::min(specs.size(), kMost); ++i) {
    metrics.push_back(scaling_metric(specs[i], i < statuses.size() ? &statuses[i] : nullptr));
  }
  std::string words = joined(metrics, ", ");
  if (specs.size() > kMost) words += " + " + std::to_string(specs.size() - kMost) + " more...";
  return text_or(words, "<none>");
}

json::value scaling_reference(const Tree& o, WallTime) {
  return text(string_at(o, {"spec", "scaleTargetRef", "kind"}) + "/" +
              string_at(o, {"spec", "scaleTargetRef", "name"}));
}

json::value scaling_minimum(const Tree& o, WallTime) {
  return text_or(scalar_at(o, {"spec", "minReplicas"}), "<unset>");
}

json::value revision_controller(const Tree& o, WallTime) {
  for (const auto& owner : list_at(o, {"metadata", "ownerReferences"})) {
    if (!is_true_at(owner, {"controller"})) continue;
    const std::string version = string_at(owner, {"apiVersion"});
    const auto slash = version.find('/');
    std::string kind = string_at(owner, {"kind"});
    if (slash != std::string::npos) kind += "." + version.substr(0, slash);
    return text(lower_case(kind) + "/" + string_at(owner, {"name"}));
  }
  return "<none>";
}

json::value deployment_selector(const Tree& o, WallTime) {
  return text(selector_text(json_at(o, {"spec", "selector"})));
}

}  // namespace

const ColumnTable& columns_of_workloads() {
  static const ColumnTable columns{
      {"pods",
       {kName,
        {"Ready", "string", 0, pod_ready},
        {"Status", "string", 0, pod_status},
        {"Restarts", "string", 0, pod_restarts},
        kAge,
        {"IP", "string", 1, pod_ip},
        {"Node", "string", 1, text_cell_or<"<none>", "spec", "nodeName">},
        {"Nominated Node", "string", 1, text_cell_or<"<none>", "status", "nominatedNodeName">},
        {"Readiness Gates", "string", 1, pod_gates}}},
      {"podtemplates",
       {kName,
        {"Containers", "string", 0, containers_cell<"name", "template", "spec", "containers">},
        {"Images", "string", 0, containers_cell<"image", "template", "spec", "containers">},
        {"Pod Labels", "string", 0, map_cell<"template", "metadata", "labels">}}},
      {"replicationcontrollers",
       {kName,
        {"Desired", "integer", 0, number_cell<"spec", "replicas">},
        {"Current", "integer", 0, number_cell<"status", "replicas">},
        {"Ready", "integer", 0, number_cell<"status", "readyReplicas">},
        kAge,
        kContainers,
        kImages,
        {"Selector", "string", 1, map_cell<"spec", "selector">}}},
      {"deployments.apps",
       {kName,
        {"Ready", "string", 0, ready_of_desired},
        {"Up-to-date", "string", 0, number_cell<"status", "updatedReplicas">},
        {"Available", "string", 0, number_cell<"status", "availableReplicas">},
        kAge,
        kContainers,
        kImages,
        {"Selector", "string", 1, deployment_selector}}},
      {"replicasets.apps",
       {kName,
        {"Desired", "integer", 0, desired},
        {"Current", "integer", 0, number_cell<"status", "replicas">},
        {"Ready", "integer", 0, number_cell<"status", "readyReplicas">},
        kAge,
        kContainers,
        kImages,
        kSelector}},
      {"statefulsets.apps", {kName, {"Ready", "string", 0, ready_of_desired}, kAge, kContainers, kImages}},
      {"daemonsets.apps",
       {kName,
        {"Desired", "integer", 0, number_cell<"status", "desiredNumberScheduled">},
        {"Current", "integer", 0, number_cell<"status", "currentNumberScheduled">},
        {"Ready", "integer", 0, number_cell<"status", "numberReady">},
        {"Up-to-date", "integer", 0, number_cell<"status", "updatedNumberScheduled">},
        {"Available", "integer", 0, number_cell<"status", "numberAvailable">},
        {"Node Selector", "string", 0, map_cell<"spec", "template", "spec", "nodeSelector">},
        kAge,
        kContainers,
        kImages,
        kSelector}},
      {"controllerrevisions.apps",
       {kName,
        {"Controller", "string", 0, revision_controller},
        {"Revision", "string", 0, number_cell<"revision">},
        kAge}},
      {"jobs.batch",
       {kName,
        {"Status", "string", 0, job_status},
        {"Completions", "string", 0, job_completions},
        {"Duration", "string", 0, job_duration},
        kAge,
        kContainers,
        kImages,
        kSelector}},
      {"cronjobs.batch",
       {kName,
        {"Schedule", "string", 0, text_cell<"spec", "schedule">},
        {"Timezone", "string", 0, text_cell_or<"<none>", "spec", "timeZone">},
        {"Suspend", "boolean", 0, cron_suspend},
        {"Active", "integer", 0, count_cell<"status", "active">},
        {"Last Schedule", "string", 0, cron_last},
        kAge,
        {"Containers", "string", 1,
         containers_cell<"name", "spec", "jobTemplate", "spec", "template", "spec", "containers">},
        {"Images", "string", 1,
         containers_cell<"image", "spec", "jobTemplate", "spec", "template", "spec", "containers">},
        {"Selector", "string", 1, selector_cell<"spec", "jobTemplate", "spec", "selector">}}},
      {"poddisruptionbudgets.policy",
       {kName,
        {"Min Available", "string", 0, budget<"minAvailable">},
        {"Max Unavailable", "string", 0, budget<"maxUnavailable">},
        {"Allowed Disruptions", "integer", 0, number_cell<"status", "disruptionsAllowed">},
        kAge}},
      {"horizontalpodautoscalers.autoscaling",
       {kName,
        {"Reference", "string", 0, scaling_reference},
        {"Targets", "string", 0, scaling_targets},
        {"MinPods", "string", 0, scaling_minimum},
        {"MaxPods", "string", 0, number_cell<"spec", "maxReplicas">},
        {"Replicas", "string", 0, number_cell<"status", "currentReplicas">},
        kAge}},
  };
  return columns;
}

}  // namespace tinf::api
