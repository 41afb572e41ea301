#include "tinf/daemon/auth_command.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "tinf/api/fleet_question.h"
#include "tinf/api/watched_files.h"
#include "tinf/daemon/authorization_file.h"

namespace tinf::daemon {
namespace {

struct CanI {
  std::string verb;
  std::string resource;
  std::string namespace_name;
  std::string cluster;
  std::string user;
  std::vector<std::string> groups;
  std::string file;
};

// "pods", "deployments.apps", "pods/web"; "/readyz".
api::AccessQuestion question_of(const CanI& asked) {
  api::AccessQuestion question;
  if (asked.resource.starts_with('/')) {
    question.verb = asked.verb;
    question.path = asked.resource;
    return question;
  }
  const auto slash = std::min(asked.resource.find('/'), asked.resource.size());
  const std::string what = asked.resource.substr(0, slash);
  const auto dot = std::min(what.find('.'), what.size());
  const Resource resource{dot == what.size() ? "" : what.substr(dot + 1), "", what.substr(0, dot)};
  const std::string name = slash == asked.resource.size() ? "" : asked.resource.substr(slash + 1);
  const auto cluster = asked.cluster.empty() ? std::nullopt : std::optional(asked.cluster);
  return api::question_about(asked.verb, resource, "", cluster, asked.namespace_name, name);
}

int answer(const CanI& asked) {
  const auto text = api::read_file(asked.file);
  auto policy = text ? parse_authorization(*text) : Result<api::AuthorizationPolicy>(text.error());
  if (!policy) {
    std::fprintf(stderr, "informer auth: --authorization-file %s: %s\n", asked.file.c_str(),
                 policy.error().message.c_str());
    return 2;
  }
  const bool is_nobody = asked.user == api::kAnonymous;
  const api::Identity who = is_nobody ? api::Identity() : api::Identity(asked.user, "", asked.groups);
  const api::Access access(who, std::make_shared<const api::AuthorizationPolicy>(std::move(*policy)));
  const auto question = question_of(asked);
  const auto decision = access.decide(question);
  if (!decision.allowed) {
    std::printf("no: %s\n", api::refusal(who, question).c_str());
    return 1;
  }
  std::printf("yes: %s\n", api::reason(question, decision).c_str());
  return 0;
}

}  // namespace

int run_auth(int argc, char** argv) {
  CanI asked;
  CLI::App app("What an authorization file allows whom.", "informer auth");
  app.require_subcommand(1);
  auto* can_i = app.add_subcommand("can-i", "Whether somebody may do something; exits 0 for yes and 1 for no");
  can_i->add_option("verb", asked.verb, "get, list or watch")->required();
  can_i->add_option("resource", asked.resource, "pods, deployments.apps, pods/NAME; or a path, as /readyz")->required();
  can_i->add_option("-n,--namespace", asked.namespace_name, "CLUSTER.NAMESPACE; with --cluster, NAMESPACE");
  can_i->add_option("--cluster", asked.cluster, "By the names of this cluster, as below /clusters/CLUSTER");
  can_i->add_option("--as", asked.user, "The user")->required();
  can_i->add_option("--as-group", asked.groups, "A group that they are in; may be repeated");
  can_i->add_option("--authorization-file", asked.file, "As informer takes it")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& outcome) {
    if (outcome.get_exit_code() == 0) return app.exit(outcome);
    std::fprintf(stderr, "informer auth: %s; see informer auth can-i --help\n", outcome.what());
    return 2;
  }
  return answer(asked);
}

}  // namespace tinf::daemon
