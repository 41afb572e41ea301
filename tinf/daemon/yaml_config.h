// --config F: the flags of a command line in a YAML file, under the same names.
#pragma once

#include <CLI/CLI.hpp>
#include <istream>
#include <string>
#include <vector>

namespace tinf::daemon {

// Reads a YAML mapping of flag names without dashes to scalars or lists of scalars. Throws CLI::ConfigError, which
// names the line, for anything else, and for one flag that stands there twice, be it in two spellings.
class YamlConfig final : public CLI::Config {
 public:
  explicit YamlConfig(const CLI::App& app) : app_(app) {}  // Which must outlive it.

  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override;
  std::string to_config(const CLI::App*, bool, bool, std::string) const override { return {}; }

 private:
  const CLI::App& app_;
};

}  // namespace tinf::daemon
