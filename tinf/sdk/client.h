// Client: reads and writes of single objects at one API server, so that a controller needs no second library.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "tinf/base/log.h"
#include "tinf/base/result.h"
#include "tinf/object/object.h"
#include "tinf/sdk/cluster.h"

namespace tinf::sdk {

// A handle with a thread of its own. Thread-safe; every call blocks until the server has answered.
// Errors are the server's: NotFound, AlreadyExists, Conflict, Invalid, Forbidden, Unauthorized; or Unavailable,
// Timeout. `resource` is in kubectl's spelling, `namespace_name` empty for cluster-scoped resources.
class Client {
 public:
  static Result<Client> open(const Kubeconfig& where, Log log = Log());

  Result<ObjectPtr> get(const std::string& resource, const ObjectKey& key);
  Result<ObjectPtr> create(const std::string& resource, const std::string& namespace_name, std::string json);
  // Conflict if the object's resourceVersion is not the server's any more.
  Result<ObjectPtr> replace(const std::string& resource, const ObjectKey& key, std::string json);
  // A JSON merge patch (RFC 7386).
  Result<ObjectPtr> patch(const std::string& resource, const ObjectKey& key, std::string json);
  // `uid`, if given, guards against deleting a namesake that came later: Conflict.
  Result<void> remove(const std::string& resource, const ObjectKey& key, std::string_view uid = "");

 private:
  struct State;
  explicit Client(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

}  // namespace tinf::sdk
