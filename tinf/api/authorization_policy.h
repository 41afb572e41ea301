// AuthorizationPolicy: who may read what of a fleet, as rules. Pure: a question and who asks it give a decision.
// How rules are written in a file is the daemon's affair; what they mean stands in docs/api.md.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tinf/api/identity.h"

namespace tinf::api {

// What a request is about, in the words of the clusters.
struct AccessQuestion {
  std::string verb;                    // "get", "list", "watch"; of a path the method in lower case.
  std::string path;                    // Of a request that is about no resource; else empty.
  std::string group;                   // Of the resource; the core group is empty.
  std::string resource;                // "pods", "pods/log".
  std::optional<std::string> cluster;  // Nothing: all of the fleet.
  std::string namespace_name;          // As the cluster calls it. Empty: all, or an object without a namespace.
  std::string name;

  // As the client named it, for messages.
  std::string told_namespace;
  std::string told_name;

  AccessQuestion() = default;
};

// Any of the users or groups may do any of the verbs with any of the resources in any of the namespaces of any of the
// clusters; or any of the verbs with any of the paths. "*" stands for all, and "web-*" for all that begin with "web-"
// (not of verbs, groups of the API and resources).
struct AuthorizationRule {
  std::string name;  // For people: in reasons and in the audit log.
  std::vector<std::string> users;
  std::vector<std::string> groups;
  std::vector<std::string> clusters;
  std::vector<std::string> namespaces;
  std::vector<std::string> api_groups;
  std::vector<std::string> resources;
  std::vector<std::string> verbs;
  std::vector<std::string> paths;

  AuthorizationRule() = default;

  // "*" is everybody who proved who they are, and nobody else.
  bool is_about(const Identity& who) const;
  bool has_cluster(std::string_view cluster) const;
  // "*" alone is true of objects without a namespace, and of all namespaces at once.
  bool has_namespace(std::string_view name) const;
  // Secrets are none of "*": they are read by whom a rule gives them by name.
  bool has_resource(std::string_view group, std::string_view resource) const;
  // There are none that write.
  bool has_verb(std::string_view verb) const;
  bool has_path(std::string_view path) const;
};

// Immutable: it may be read on any thread.
class AuthorizationPolicy {
 public:
  explicit AuthorizationPolicy(std::vector<AuthorizationRule> rules) : rules_(std::move(rules)) {}

  const std::vector<AuthorizationRule>& rules() const { return rules_; }

 private:
  std::vector<AuthorizationRule> rules_;
};

struct Decision {
  bool allowed = false;
  std::string rule;  // That allows it; empty if it is not allowed, or if there are no rules to ask.

  Decision() = default;
};

// What one caller may read. Immutable: it may be asked on any thread, also after a new policy is in force.
class Access {
 public:
  // No policy: everything.
  Access(Identity who, std::shared_ptr<const AuthorizationPolicy> policy);

  const Identity& who() const { return who_; }
  bool is_to_everything() const { return policy_ == nullptr; }
  const std::shared_ptr<const AuthorizationPolicy>& policy() const { return policy_; }

  // Of all of the fleet at once: yes, if it is for any cluster as a whole. Then only those clusters are shown.
  Decision decide(const AccessQuestion& question) const;

  // Whether `cluster` is shown to a request about all of the fleet.
  bool shows(const AccessQuestion& question, std::string_view cluster) const;

  // Whether they may know that the cluster has such objects: they may read some of them in some way.
  bool knows(std::string_view group, std::string_view resource, std::string_view cluster) const;
  // Whether they may know of the cluster: they may read something of it.
  bool knows(std::string_view cluster) const;

  // Those that are about the caller.
  const std::vector<const AuthorizationRule*>& rules() const { return rules_; }

 private:
  const Identity who_;
  const std::shared_ptr<const AuthorizationPolicy> policy_;
  std::vector<const AuthorizationRule*> rules_;  // In policy_.
};
using AccessPtr = std::shared_ptr<const Access>;

// Why it is a yes: the rule, and whether of some clusters only.
std::string reason(const AccessQuestion& question, const Decision& decision);

// Kubernetes' words for a no: `User "jane" cannot list resource "pods" in API group "" in the namespace "c1.default"`.
std::string refusal(const Identity& who, const AccessQuestion& question);

}  // namespace tinf::api
