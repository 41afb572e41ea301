// The tables of the built-in kinds as one, and what custom resources bring along.
#include "tinf/api/columns.h"

#include <cmath>

#include "tinf/api/column.h"
#include "tinf/api/printer_path.h"
#include "tinf/patch/json.h"

namespace tinf::api {
namespace json = boost::json;
namespace {

const ColumnTable& built_in_columns() {
  static const ColumnTable all = [] {
    ColumnTable merged;
    for (const ColumnTable* some : {&columns_of_workloads(), &columns_of_networking(), &columns_of_storage(),
                                    &columns_of_cluster(), &columns_of_extensions()}) {
      merged.insert(some->begin(), some->end());
    }
    return merged;
  }();
  return all;
}

const Columns& columns_of(const ResourceType& type) {
  static const Columns otherwise{kName, {"Age", "date", 0, age_cell}};  // As of a custom resource without any.
  if (!type.built_in) return otherwise;
  const auto found = built_in_columns().find(type.collection);
  return found == built_in_columns().end() ? otherwise : found->second;
}

// As Go turns a float into a whole number; what is out of its range is nothing.
json::value whole(double number) {
  if (!(std::abs(number) < 9.2e18)) return nullptr;
  return static_cast<std::int64_t>(number);
}

// Only a value of the column's type is shown.
json::value custom_cell(const PrinterColumn& column, const Tree& object, WallTime now) {
  const Tree* value = first_at(object, column.json_path);
  if (value == nullptr || value->is_null()) return nullptr;
  if (column.type == "string") return value->is_string() ? *value : text(json_text(*value));
  if (column.type == "date") {
    if (!value->is_string()) return nullptr;
    const auto age = age_since(value->get_string(), now);
    return age == "<unknown>" && !value->get_string().empty() ? json::value("<invalid>") : age;
  }
  if (column.type == "boolean") return value->is_bool() ? *value : json::value();
  if (!value->is_number()) return nullptr;
  if (column.type == "integer" && value->is_double()) return whole(value->get_double());
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
    add(kName.name, kName.type, kName.format, "", 0);
    for (const auto& column : type.columns) {
      // kube-apiserver sends dates as strings that say the age.
      const std::string path = "Custom resource definition column (in JSONPath format): " + column.json_path;
      add(column.name, column.type, column.format, column.description.empty() ? path : column.description,
          column.priority);
    }
  } else {
    for (const auto& column : columns_of(type)) add(column.name, column.type, column.format, "", column.priority);
  }
  return json_text(list);
}

json::array cells(const ResourceType& type, const Tree& object, WallTime now) {
  json::array row;
  if (!type.columns.empty()) {
    row.push_back(name_cell(object, now));
    for (const auto& column : type.columns) row.push_back(custom_cell(column, object, now));
  } else {
    for (const auto& column : columns_of(type)) row.push_back(column.cell(object, now));
  }
  return row;
}

json::array row_conditions(const ResourceType& type, const Tree& object) {
  if (!type.built_in || type.collection != "pods") return {};
  const auto phase = json_string_at(object, {"status", "phase"});
  if (phase != "Succeeded" && phase != "Failed") return {};
  return {json::object{{"type", "Completed"},
                       {"status", "True"},
                       {"reason", text(phase)},
                       {"message", phase == "Failed" ? "The pod failed." : "The pod has completed successfully."}}};
}

}  // namespace tinf::api
