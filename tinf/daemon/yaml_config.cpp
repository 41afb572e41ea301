#include "tinf/daemon/yaml_config.h"

#include <yaml-cpp/yaml.h>

#include <iterator>
#include <map>
#include <sstream>

namespace tinf::daemon {
namespace {

// By its lines: yaml-cpp's own way to read all documents finds ever more of them in some that are broken.
bool has_second_document(const std::string& text) {
  std::istringstream lines(text);
  bool content = false;
  for (std::string line; std::getline(lines, line);) {
    const bool marker = line.starts_with("---") && line.find_first_not_of(" \t\r", 3) != 3;
    if (marker && content) return true;
    const std::size_t first = line.find_first_not_of(" \t\r");
    content = content || (!marker && first != std::string::npos && line[first] != '#' && line[first] != '%');
  }
  return false;
}

}  // namespace

std::vector<CLI::ConfigItem> YamlConfig::from_config(std::istream& input) const {
  std::vector<CLI::ConfigItem> items;
  try {
    const std::string text(std::istreambuf_iterator<char>(input), {});
    if (has_second_document(text))
      throw CLI::ConfigError("the configuration file must be one YAML document, and is more");
    const YAML::Node root = YAML::Load(text);
    if (!root.IsDefined() || root.IsNull()) return items;
    if (!root.IsMap()) throw CLI::ConfigError("the configuration file must be a YAML mapping of flag names to values");
    std::map<const CLI::Option*, std::string> seen;
    for (const auto& entry : root) {
      CLI::ConfigItem item;
      item.name = entry.first.as<std::string>();
      const CLI::Option* const flag = app_.get_option_no_throw((item.name.size() == 1 ? "-" : "--") + item.name);
      const auto [before, fresh] = seen.try_emplace(flag, item.name);
      if (flag != nullptr && !fresh) {
        throw CLI::ConfigError("\"" + item.name + "\" in line " + std::to_string(entry.first.Mark().line + 1) +
                               " says again what \"" + before->second + "\" has said");
      }
      if (entry.second.IsScalar()) {
        item.inputs.push_back(entry.second.as<std::string>());
      } else if (entry.second.IsSequence()) {
        for (const auto& value : entry.second) item.inputs.push_back(value.as<std::string>());
      } else {
        throw CLI::ConfigError("in the configuration file, \"" + item.name + "\" must be a value or a list of values");
      }
      items.push_back(std::move(item));
    }
  } catch (const YAML::Exception& error) {
    throw CLI::ConfigError("the configuration file is not YAML: line " + std::to_string(error.mark.line + 1) + ": " +
                           error.msg);
  }
  return items;
}

}  // namespace tinf::daemon
