#include "tinf/daemon/yaml_config.h"

#include <yaml-cpp/yaml.h>

namespace tinf::daemon {

std::vector<CLI::ConfigItem> YamlConfig::from_config(std::istream& input) const {
  std::vector<CLI::ConfigItem> items;
  try {
    const YAML::Node root = YAML::Load(input);
    if (root.IsNull()) return items;
    if (!root.IsMap()) throw CLI::ConfigError("the configuration file must be a YAML mapping of flag names to values");
    for (const auto& entry : root) {
      CLI::ConfigItem item;
      item.name = entry.first.as<std::string>();
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
