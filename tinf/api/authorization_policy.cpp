#include "tinf/api/authorization_policy.h"

#include <algorithm>

namespace tinf::api {
namespace {

bool fits(std::string_view pattern, std::string_view text) {
  if (!pattern.ends_with('*')) return pattern == text;
  pattern.remove_suffix(1);
  return text.starts_with(pattern);
}

bool any_fits(const std::vector<std::string>& patterns, std::string_view text) {
  return std::ranges::any_of(patterns, [&](const std::string& pattern) { return fits(pattern, text); });
}

// Wildcards are for those who proved who they are: what is open to all others is said in full.
bool is_named(const std::vector<std::string>& patterns, std::string_view name) {
  if (name == kAnonymous || name == kUnauthenticated) return std::ranges::find(patterns, name) != patterns.end();
  return any_fits(patterns, name);
}

bool has(const std::vector<std::string>& words, std::string_view word) {
  return std::ranges::find(words, word) != words.end();
}

bool is_reading(std::string_view verb) {
  return verb == "get" || verb == "list" || verb == "watch";
}

// But for the place.
bool allows(const AuthorizationRule& rule, const AccessQuestion& question) {
  return rule.has_verb(question.verb) && rule.has_resource(question.group, question.resource) &&
         rule.has_namespace(question.namespace_name);
}

}  // namespace

bool AuthorizationRule::is_about(const Identity& who) const {
  if (is_named(users, who.user)) return true;
  return std::ranges::any_of(who.groups, [&](const std::string& group) { return is_named(groups, group); });
}

bool AuthorizationRule::has_cluster(std::string_view cluster) const {
  return any_fits(clusters, cluster);
}

bool AuthorizationRule::has_namespace(std::string_view name) const {
  return name.empty() ? has(namespaces, "*") : any_fits(namespaces, name);
}

bool AuthorizationRule::has_resource(std::string_view group, std::string_view resource) const {
  if (!has(api_groups, group) && !has(api_groups, "*")) return false;
  if (has(resources, resource)) return true;
  const bool is_secret = group.empty() && (resource == "secrets" || resource.starts_with("secrets/"));
  return !is_secret && has(resources, "*");
}

bool AuthorizationRule::has_verb(std::string_view verb) const {
  return is_reading(verb) && (has(verbs, verb) || has(verbs, "*"));
}

bool AuthorizationRule::has_path(std::string_view path) const {
  return any_fits(paths, path);
}

Access::Access(Identity who, std::shared_ptr<const AuthorizationPolicy> policy)
    : who_(std::move(who)), policy_(std::move(policy)) {
  if (policy_ == nullptr) return;
  for (const auto& rule : policy_->rules()) {
    if (rule.is_about(who_)) rules_.push_back(&rule);
  }
}

Decision Access::decide(const AccessQuestion& question) const {
  Decision decision;
  decision.allowed = policy_ == nullptr && (!question.path.empty() || is_reading(question.verb));
  for (const auto* rule : rules_) {
    const bool allowed = !question.path.empty()
                             ? rule->has_verb(question.verb) && rule->has_path(question.path)
                             : allows(*rule, question) && (!question.cluster || rule->has_cluster(*question.cluster));
    if (!allowed) continue;
    decision.allowed = true;
    decision.rule = rule->name;
    break;
  }
  return decision;
}

bool Access::shows(const AccessQuestion& question, std::string_view cluster) const {
  if (policy_ == nullptr) return true;
  return std::ranges::any_of(rules_,
                             [&](const auto* rule) { return allows(*rule, question) && rule->has_cluster(cluster); });
}

bool Access::knows(std::string_view group, std::string_view resource, std::string_view cluster) const {
  if (policy_ == nullptr) return true;
  return std::ranges::any_of(
      rules_, [&](const auto* rule) { return rule->has_resource(group, resource) && rule->has_cluster(cluster); });
}

bool Access::knows(std::string_view cluster) const {
  if (policy_ == nullptr) return true;
  return std::ranges::any_of(rules_, [&](const auto* rule) { return rule->has_cluster(cluster); });
}

std::string reason(const AccessQuestion& question, const Decision& decision) {
  const bool of_some = question.path.empty() && !question.cluster;
  return "the rule \"" + decision.rule + "\" allows it" + (of_some ? ", of its clusters" : "");
}

std::string refusal(const Identity& who, const AccessQuestion& question) {
  const std::string user = "User \"" + who.user + "\" cannot " + question.verb;
  if (!question.path.empty()) return user + " path \"" + question.path + "\"";
  return user + " resource \"" + question.resource + "\" in API group \"" + question.group + "\" " +
         (question.told_namespace.empty() ? "at the cluster scope"
                                          : "in the namespace \"" + question.told_namespace + "\"");
}

}  // namespace tinf::api
