// Where each message of the protocol is published. The topic, not the message, says who speaks.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tinf/base/result.h"

namespace tinf::wire {

// A DNS label (RFC 1123): what a cluster may be called, since its name is one level of a topic.
Result<void> check_cluster_name(std::string_view name);
// One level of a topic: no '/', '+', '#', control characters; not empty, at most 128 bytes, not starting with '_'.
Result<void> check_client_id(std::string_view id);
// A topic base as the user gives it: no wildcards, no empty text, no trailing '/'.
Result<void> check_topic_base(std::string_view option, std::string_view base);

class Topics {
 public:
  // Both must have passed check_topic_base(); equal bases are fine.
  Topics(std::string signal, std::string payload) : signal_(std::move(signal)), payload_(std::move(payload)) {}

  std::string signal(std::string_view cluster) const { return signal_ + "/" + std::string(cluster); }
  std::string signal_all() const { return signal_ + "/_all"; }
  std::string client(std::string_view client) const { return signal_ + "/_client/" + std::string(client); }
  std::string stream(std::string_view cluster, std::string_view scope) const {
    return below(cluster, "stream/" + std::string(scope));
  }
  std::string reply(std::string_view cluster, std::string_view client) const {
    return below(cluster, "reply/" + std::string(client));
  }
  std::string digest(std::string_view cluster) const { return below(cluster, "digest"); }
  std::string presence(std::string_view cluster) const { return below(cluster, "presence"); }

  // The cluster that may write to `topic`, if it is one of those below the payload base.
  std::optional<std::string_view> cluster_of(std::string_view topic) const;

 private:
  std::string below(std::string_view cluster, const std::string& rest) const {
    return payload_ + "/" + std::string(cluster) + "/" + rest;
  }

  std::string signal_;
  std::string payload_;
};

}  // namespace tinf::wire
