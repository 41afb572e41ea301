// Running a credential plugin: a program that prints an ExecCredential, as kubectl runs it.
// The protocol: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
#pragma once

#include <optional>
#include <string>

#include "tinf/base/clock.h"
#include "tinf/base/result.h"
#include "tinf/base/task.h"
#include "tinf/kube/kubeconfig.h"

namespace tinf::kube {

struct ExecCredential {
  std::string token;
  std::string certificate;  // PEM, as is the key.
  std::string key;
  std::optional<WallTime> expires;

  ExecCredential() = default;
};

// Reads what a plugin printed. Unauthorized: it is no ExecCredential of `api_version`, or holds no credential.
Result<ExecCredential> parse_exec_credential(std::string_view json, std::string_view api_version);

// The time in RFC 3339, as Kubernetes writes it; nothing if it is not one.
std::optional<WallTime> parse_time(std::string_view text);

// Runs the connection's plugin to its end and reads what it prints. Cancelling kills it.
// Unauthorized: it cannot be started, fails, takes longer than a minute or prints something else; the message has the
// last of what it wrote to its standard error.
Task<Result<ExecCredential>> run_exec_plugin(Clock& clock, const Connection& connection);

}  // namespace tinf::kube
