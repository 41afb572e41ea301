#include "tinf/wire/topics.h"

#include <algorithm>

namespace tinf::wire {
namespace {

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

}  // namespace

Result<void> check_cluster_name(std::string_view name) {
  const bool letters = std::all_of(name.begin(), name.end(), [](char c) { return is_alphanumeric(c) || c == '-'; });
  if (name.empty() || name.size() > 63 || !letters || !is_alphanumeric(name.front()) || !is_alphanumeric(name.back())) {
    return Error(Code::Invalid, "cluster name \"" + std::string(name) +
                                    "\" is not a DNS label: use at most 63 lower case letters, digits and '-', "
                                    "beginning and ending with a letter or digit");
  }
  return {};
}

Result<void> check_client_id(std::string_view id) {
  const bool bad = std::any_of(
      id.begin(), id.end(), [](unsigned char c) { return c < 0x21 || c == 0x7f || c == '/' || c == '+' || c == '#'; });
  if (id.empty() || id.size() > 128 || bad || id.front() == '_') {
    return Error(Code::Invalid, "client id \"" + std::string(id) +
                                    "\" cannot be a part of a topic: use 1 to 128 characters without spaces, '/', '+' "
                                    "and '#', not beginning with '_'");
  }
  return {};
}

Result<void> check_topic_base(std::string_view option, std::string_view base) {
  const bool bad =
      std::any_of(base.begin(), base.end(), [](unsigned char c) { return c < 0x20 || c == '+' || c == '#'; });
  if (base.empty() || bad || base.back() == '/' || base.front() == '$' || base.size() > 1024) {
    return Error(Code::Invalid, std::string(option) + " \"" + std::string(base) +
                                    "\" cannot be a topic base: give a topic without the wildcards '+' and '#', not "
                                    "beginning with '$' and not ending with '/'");
  }
  return {};
}

std::optional<std::string_view> Topics::cluster_of(std::string_view topic) const {
  if (topic.size() <= payload_.size() + 1 || topic.substr(0, payload_.size()) != payload_ ||
      topic[payload_.size()] != '/') {
    return std::nullopt;
  }
  topic.remove_prefix(payload_.size() + 1);
  const auto end = topic.find('/');
  if (end == std::string_view::npos) return std::nullopt;
  return topic.substr(0, end);
}

}  // namespace tinf::wire
