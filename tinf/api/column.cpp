#include "tinf/api/column.h"

#include "tinf/api/columns.h"
#include "tinf/api/timestamp.h"

namespace tinf::api {

const boost::json::array& list_at(const Tree& object, Path path) {
  static const boost::json::array nothing;
  const Tree* at = json_at(object, path);
  return at != nullptr && at->is_array() ? at->get_array() : nothing;
}

std::size_t count_at(const Tree& object, Path path) {
  const Tree* at = json_at(object, path);
  if (at == nullptr) return 0;
  return at->is_object() ? at->get_object().size() : at->is_array() ? at->get_array().size() : 0;
}

bool is_true_at(const Tree& object, Path path) {
  const Tree* at = json_at(object, path);
  return at != nullptr && at->is_bool() && at->get_bool();
}

bool is_at(const Tree& object, Path path) {
  const Tree* at = json_at(object, path);
  return at != nullptr && !at->is_null();
}

std::string string_at(const Tree& object, Path path) {
  return std::string(json_string_at(object, path));
}

std::string scalar_at(const Tree& object, Path path) {
  const Tree* at = json_at(object, path);
  if (at == nullptr || at->is_null() || at->is_structured()) return "";
  return at->is_string() ? std::string(at->get_string()) : json_text(*at);
}

boost::json::value text(std::string_view value) {
  return boost::json::value(boost::json::string_view(value.data(), value.size()));
}

boost::json::value text_or(std::string_view value, std::string_view otherwise) {
  return text(value.empty() ? otherwise : value);
}

std::string joined(const std::vector<std::string>& parts, std::string_view between) {
  std::string all;
  for (const auto& part : parts) {
    if (part.empty()) continue;
    if (!all.empty()) all += between;
    all += part;
  }
  return all;
}

std::vector<std::string> strings_at(const Tree& object, Path path) {
  return each(list_at(object, path),
              [](const Tree& item) { return item.is_string() ? std::string(item.get_string()) : std::string(); });
}

std::string first_few(std::vector<std::string> parts, std::size_t most, std::string_view otherwise) {
  const std::size_t all = parts.size();
  parts.resize(std::min(all, most));
  std::string text = joined(parts);
  if (all > most) return text + " + " + std::to_string(all - most) + " more...";
  return text.empty() ? std::string(otherwise) : text;
}

std::string map_text(const Tree* map) {
  if (map == nullptr || !map->is_object()) return "";
  std::map<std::string, std::string> sorted;
  for (const auto& entry : map->get_object()) {
    sorted[std::string(entry.key())] = entry.value().is_string() ? std::string(entry.value().get_string()) : "";
  }
  std::vector<std::string> parts;
  for (const auto& [key, value] : sorted) parts.push_back(std::string(key).append("=").append(value));
  return joined(parts);
}

std::string selector_text(const Tree* selector) {
  if (selector == nullptr || !selector->is_object()) return "";
  std::vector<std::pair<std::string, std::string>> requirements;
  if (const Tree* labels = json_at(*selector, {"matchLabels"}); labels != nullptr && labels->is_object()) {
    for (const auto& label : labels->get_object()) {
      const std::string value = label.value().is_string() ? std::string(label.value().get_string()) : "";
      requirements.emplace_back(label.key(), std::string(label.key()) + "=" + value);
    }
  }
  for (const auto& expression : list_at(*selector, {"matchExpressions"})) {
    const std::string key = string_at(expression, {"key"});
    const auto op = json_string_at(expression, {"operator"});
    std::string words = op == "DoesNotExist" ? "!" + key : key;
    if (op == "In" || op == "NotIn") {
      auto values = strings_at(expression, {"values"});
      std::ranges::sort(values);
      words.append(op == "In" ? " in (" : " notin (").append(joined(values)).append(")");
    }
    requirements.emplace_back(key, std::move(words));
  }
  std::ranges::stable_sort(requirements, {}, &std::pair<std::string, std::string>::first);
  std::vector<std::string> parts;
  for (auto& [key, words] : requirements) parts.push_back(std::move(words));
  return joined(parts);
}

boost::json::value age_since(std::string_view timestamp, WallTime now) {
  const auto then = parse_timestamp(timestamp);
  if (!then) return "<unknown>";
  return text(human_duration(std::chrono::floor<std::chrono::seconds>(now) - *then));
}

boost::json::value name_cell(const Tree& object, WallTime) {
  return text(json_string_at(object, {"metadata", "name"}));
}

boost::json::value age_cell(const Tree& object, WallTime now) {
  return age_since(json_string_at(object, {"metadata", "creationTimestamp"}), now);
}

boost::json::value created_cell(const Tree& object, WallTime) {
  return text(json_string_at(object, {"metadata", "creationTimestamp"}));
}

}  // namespace tinf::api
