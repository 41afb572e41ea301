#include "tinf/daemon/yaml_config.h"

#include <yaml-cpp/yaml.h>

#include <map>

namespace tinf::daemon {

std::vector<CLI::ConfigItem> YamlConfig::from_config(std::istream& input) const {
  std::vector<CLI::ConfigItem> items;
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(input);
    if (documents.empty() || (documents.size() == 1 && documents.front().IsNull())) return items;
    if (documents.size() > 1) throw CLI::ConfigError("the configuration file must be one YAML document, and is more");
    const YAML::Node& root = documents.front();
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
