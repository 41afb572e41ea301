// Strict: a word that is misspelt in a rule must not make it another one.
#include "tinf/daemon/authorization_file.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <map>
#include <set>
#include <vector>

namespace tinf::daemon {
namespace {

using api::AuthorizationRule;
using Words = std::vector<std::string>;

constexpr std::size_t kMostRules = 10'000;

struct WrongFile {
  std::string message;
};

[[noreturn]] void refuse(const YAML::Node& at, const std::string& why) {
  throw WrongFile{"line " + std::to_string(std::max(at.Mark().line, 0) + 1) + ": " + why};
}

std::string word(const YAML::Node& node, const std::string& what) {
  if (!node.IsScalar() || node.Scalar().find('\0') != std::string::npos) refuse(node, what + " must be text");
  return node.Scalar();
}

Words words(const YAML::Node& node, const std::string& what) {
  if (!node.IsSequence()) refuse(node, what + " must be a list");
  if (node.size() == 0) refuse(node, what + " is an empty list: leave the rule out, or say whom or what it is about");
  Words all;
  for (const auto& one : node) all.push_back(word(one, "an entry of " + what));
  return all;
}

// "*" alone, or at the end.
void check_patterns(const YAML::Node& node, const Words& all, const std::string& what) {
  for (const auto& one : all) {
    if (one.empty()) refuse(node, what + " has an empty entry");
    if (one.find('*') < one.size() - 1) refuse(node, "\"" + one + "\" in " + what + ": * stands at the end only");
  }
}

void check_exact(const YAML::Node& node, const Words& all, const std::string& what) {
  for (const auto& one : all) {
    const bool is_of_all = one == "*" || (what == "resources" && one.starts_with("*/") && one.size() > 2);
    if (!is_of_all && one.find('*') != std::string::npos)
      refuse(node, "\"" + one + "\" in " + what + ": * stands alone");
  }
}

void check_verbs(const YAML::Node& node, const Words& all, bool of_paths) {
  for (const auto& verb : all) {
    const bool reads = verb == "get" || verb == "*" || (!of_paths && (verb == "list" || verb == "watch"));
    if (!reads) {
      refuse(node,
             "the verb \"" + verb + "\": " +
                 (of_paths ? "paths are read by get, or *" : "the fleet is only read, by get, list, watch, or *"));
    }
  }
}

void check_resources(const YAML::Node& node, const Words& all) {
  for (const auto& one : all) {
    if (one.empty()) refuse(node, "resources has an empty entry");
    const auto dot = one.find('.');
    if (dot == std::string::npos) continue;
    refuse(node, "\"" + one + "\" in resources: write " + one.substr(0, dot) + ", and " + one.substr(dot + 1) +
                     " in apiGroups");
  }
}

class RuleReader {
 public:
  RuleReader(const YAML::Node& node, std::size_t number) : node_(node) {
    if (!node.IsMap()) refuse(node, "a rule must be a mapping");
    rule_.name = "rule " + std::to_string(number) + ", line " + std::to_string(node.Mark().line + 1);
  }

  AuthorizationRule read() {
    for (const auto& entry : node_) take(word(entry.first, "a key"), entry.first, entry.second);
    require(seen_.contains("users") || seen_.contains("groups"), "says nobody: it needs users or groups");
    require(seen_.contains("verbs"), "needs verbs");
    const bool of_paths = seen_.contains("nonResourceURLs");
    for (const char* key : {"clusters", "namespaces", "apiGroups", "resources"}) {
      if (of_paths) require(!seen_.contains(key), std::string("has nonResourceURLs and ") + key + ": make two of it");
      if (!of_paths) require(seen_.contains(key), std::string("needs ") + key + " ([\"*\"] for all)");
    }
    check_verbs(node_, rule_.verbs, of_paths);
    return std::move(rule_);
  }

 private:
  void take(const std::string& key, const YAML::Node& at, const YAML::Node& value) {
    static const std::map<std::string, Words AuthorizationRule::*> kLists{
        {"users", &AuthorizationRule::users},          {"groups", &AuthorizationRule::groups},
        {"clusters", &AuthorizationRule::clusters},    {"namespaces", &AuthorizationRule::namespaces},
        {"apiGroups", &AuthorizationRule::api_groups}, {"resources", &AuthorizationRule::resources},
        {"verbs", &AuthorizationRule::verbs},          {"nonResourceURLs", &AuthorizationRule::paths}};
    if (!seen_.insert(key).second) refuse(at, "\"" + key + "\" stands in the rule twice");
    if (key == "name") {
      rule_.name = word(value, "name");
      return;
    }
    const auto list = kLists.find(key);
    if (list == kLists.end()) {
      refuse(at, "a rule has no \"" + key +
                     "\": it has name, users, groups, clusters, namespaces, apiGroups, resources, verbs, "
                     "nonResourceURLs");
    }
    Words& all = rule_.*list->second;
    all = words(value, key);
    if (key == "apiGroups" || key == "resources" || key == "verbs") {
      check_exact(value, all, key);
    } else {
      check_patterns(value, all, key);
    }
    if (key == "resources") check_resources(value, all);
    if (key != "nonResourceURLs") return;
    for (const auto& path : all) {
      if (path.front() != '/' && path != "*") refuse(value, "\"" + path + "\" in nonResourceURLs: paths begin with /");
    }
  }

  void require(bool holds, const std::string& why) const {
    if (!holds) refuse(node_, "the rule " + why);
  }

  const YAML::Node node_;
  AuthorizationRule rule_;
  std::set<std::string> seen_;
};

std::vector<AuthorizationRule> rules_of(const YAML::Node& root) {
  if (!root.IsMap()) refuse(root, "the file must be a mapping with the key rules");
  std::vector<AuthorizationRule> rules;
  std::set<std::string> seen;
  for (const auto& entry : root) {
    const std::string key = word(entry.first, "a key");
    if (key != "rules") refuse(entry.first, "there is no \"" + key + "\": the file has rules, and nothing else");
    if (!seen.insert(key).second) refuse(entry.first, "\"rules\" stands there twice");
    if (!entry.second.IsSequence()) refuse(entry.second, "rules must be a list");
    if (entry.second.size() > kMostRules) {
      refuse(entry.second, "there are more than " + std::to_string(kMostRules) + " rules");
    }
    for (const auto& rule : entry.second) rules.push_back(RuleReader(rule, rules.size() + 1).read());
  }
  if (seen.empty()) refuse(root, "the file must have rules (rules: [] allows nobody anything)");
  return rules;
}

}  // namespace

Result<api::AuthorizationPolicy> parse_authorization(const std::string& text) {
  try {
    // Two documents, or aliases that unfold to giants, are not what anybody writes here.
    if (text.find("\n---") != std::string::npos) {
      return Error(Code::Invalid, "the authorization file must be one YAML document, and is more");
    }
    return api::AuthorizationPolicy(rules_of(YAML::Load(text)));
  } catch (const WrongFile& wrong) {
    return Error(Code::Invalid, wrong.message);
  } catch (const YAML::Exception& error) {
    return Error(Code::Invalid, "line " + std::to_string(error.mark.line + 1) + ": no YAML: " + error.msg);
  }
}

}  // namespace tinf::daemon
