// Small objects, events and scopes for tests, named so that a test reads as prose.
#pragma once

#include <string>

#include "tinf/object/resource.h"
#include "tinf/object/watch_event.h"

namespace tinf::testing {

inline Scope configmaps() {
  Scope scope;
  scope.resource = Resource{"", "v1", "configmaps"};
  return scope;
}

inline ResourceVersion version(std::string text) {
  return ResourceVersion(std::move(text));
}

inline ObjectKey key(std::string name) {
  return ObjectKey{"default", std::move(name)};
}

// A ConfigMap in namespace "default"; its uid is "uid-<name>" unless said otherwise.
inline ObjectPtr object(const std::string& name, int version, const std::string& uid = "",
                        const std::string& more = "") {
  const std::string json = R"({"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":")" + name +
                           R"(","namespace":"default","uid":")" + (uid.empty() ? "uid-" + name : uid) +
                           R"(","resourceVersion":")" + std::to_string(version) + "\"" +
                           (more.empty() ? "" : "," + more) + "}}";
  return Object::parse(json).value();
}

inline WatchEvent added(const std::string& name, int version, const std::string& uid = "") {
  return WatchEvent::added(object(name, version, uid));
}
inline WatchEvent modified(const std::string& name, int version, const std::string& uid = "") {
  return WatchEvent::modified(object(name, version, uid));
}
inline WatchEvent deleted(const std::string& name, int version, const std::string& uid = "") {
  return WatchEvent::deleted(object(name, version, uid));
}

}  // namespace tinf::testing
