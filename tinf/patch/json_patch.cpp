// RFC 6902 on Boost.JSON trees.
// Its own pointer walk, because add and remove need the parent and the array index "-".
#include <algorithm>
#include <charconv>
#include <optional>
#include <vector>

#include "tinf/patch/json.h"
#include "tinf/patch/patch.h"

namespace tinf {
namespace json = boost::json;
namespace {

constexpr std::size_t kMaximumOperations = 10'000;  // As kube-apiserver.
constexpr std::size_t kMaximumCopied = 3 << 20;     // Bytes, of all copies together; as kube-apiserver.

std::optional<std::vector<std::string>> tokens_of(std::string_view pointer) {
  std::vector<std::string> tokens;
  if (pointer.empty()) return tokens;
  if (pointer.front() != '/') return std::nullopt;
  for (std::size_t i = 0; i < pointer.size(); ++i) {
    if (pointer[i] == '/') {
      tokens.emplace_back();
    } else if (pointer[i] == '~') {
      if (i + 1 == pointer.size() || (pointer[i + 1] != '0' && pointer[i + 1] != '1')) return std::nullopt;
      tokens.back() += pointer[++i] == '0' ? '~' : '/';
    } else {
      tokens.back() += pointer[i];
    }
  }
  return tokens;
}

std::optional<std::size_t> index_of(const std::string& token, std::size_t limit) {
  std::size_t index = 0;
  const auto [end, failure] = std::from_chars(token.data(), token.data() + token.size(), index);
  if (failure != std::errc() || end != token.data() + token.size() || index > limit) return std::nullopt;
  if (token.size() > 1 && token.front() == '0') return std::nullopt;
  return index;
}

json::value* child(json::value& parent, const std::string& token) {
  if (auto* object = parent.if_object()) return object->if_contains(token);
  auto* array = parent.if_array();
  if (array == nullptr || array->empty()) return nullptr;
  const auto index = index_of(token, array->size() - 1);
  return index ? &(*array)[*index] : nullptr;
}

json::value* walk(json::value& root, const std::vector<std::string>& tokens, std::size_t count) {
  json::value* at = &root;
  for (std::size_t i = 0; i < count && at != nullptr; ++i) at = child(*at, tokens[i]);
  return at;
}

std::size_t depth_of(const json::value& value) {
  std::size_t deepest = 0;
  if (const auto* object = value.if_object()) {
    for (const auto& member : *object) deepest = std::max(deepest, depth_of(member.value()));
  } else if (const auto* array = value.if_array()) {
    for (const auto& item : *array) deepest = std::max(deepest, depth_of(item));
  } else {
    return 0;
  }
  return deepest + 1;
}

// Every operation may go deeper than the one before; nothing may become deeper than what can be read.
bool fits_at(const std::vector<std::string>& path, const json::value& value) {
  return path.size() + depth_of(value) <= kMaximumJsonDepth;
}

bool add(json::value& root, const std::vector<std::string>& tokens, json::value value) {
  if (tokens.empty()) {
    root = std::move(value);
    return true;
  }
  json::value* parent = walk(root, tokens, tokens.size() - 1);
  if (parent == nullptr) return false;
  if (auto* object = parent->if_object()) {
    (*object)[tokens.back()] = std::move(value);
    return true;
  }
  auto* array = parent->if_array();
  if (array == nullptr) return false;
  const auto index = tokens.back() == "-" ? array->size() : index_of(tokens.back(), array->size());
  if (!index) return false;
  array->insert(array->begin() + static_cast<std::ptrdiff_t>(*index), std::move(value));
  return true;
}

bool remove(json::value& root, const std::vector<std::string>& tokens) {
  if (tokens.empty()) return false;
  json::value* parent = walk(root, tokens, tokens.size() - 1);
  if (parent == nullptr || child(*parent, tokens.back()) == nullptr) return false;
  if (auto* object = parent->if_object()) {
    object->stable_erase(tokens.back());
  } else {
    auto& array = parent->get_array();
    array.erase(array.begin() + static_cast<std::ptrdiff_t>(*index_of(tokens.back(), array.size())));
  }
  return true;
}

Error cannot(const json::value& operation, std::string_view why) {
  return Error(Code::Invalid,
               "the JSON patch operation " + json_text(operation) + " cannot be applied: " + std::string(why));
}

Result<void> apply(json::value& target, const json::value& operation, std::size_t& copied) {
  const auto name = json_string_at(operation, {"op"});
  const json::value* path_value = json_at(operation, {"path"});
  if (path_value == nullptr || !path_value->is_string()) return cannot(operation, "it has no path");
  const auto path = tokens_of(json_string_at(operation, {"path"}));
  if (!path) return cannot(operation, "its path is not a JSON pointer");
  const json::value* value = json_at(operation, {"value"});
  json::value* place = walk(target, *path, path->size());

  if (name == "add" || name == "replace" || name == "test") {
    if (value == nullptr) return cannot(operation, "it has no value");
    if (name != "test" && !fits_at(*path, *value)) return cannot(operation, "the object would nest too deep");
    if (name == "test") {
      if (place == nullptr ? !value->is_null() : *place != *value) return cannot(operation, "the test failed");
    } else if (name == "replace") {
      if (place == nullptr) return cannot(operation, "there is nothing at this path");
      *place = *value;
    } else if (!add(target, *path, *value)) {
      return cannot(operation, "there is no such place");
    }
    return Result<void>();
  }
  if (name == "remove") {
    if (!remove(target, *path)) return cannot(operation, "there is nothing at this path");
    return Result<void>();
  }
  if (name == "move" || name == "copy") {
    const auto from = tokens_of(json_string_at(operation, {"from"}));
    json::value* source = from ? walk(target, *from, from->size()) : nullptr;
    if (source == nullptr) return cannot(operation, "there is nothing at \"from\"");
    if (!fits_at(*path, *source)) return cannot(operation, "the object would nest too deep");
    // Copies of copies grow without an end.
    if (name == "copy" && (copied += json_text(*source).size()) > kMaximumCopied) {
      return cannot(operation, "the copies add up to more than " + std::to_string(kMaximumCopied) + " bytes");
    }
    json::value moved = *source;
    if (name == "move" && !remove(target, *from)) return cannot(operation, "the whole object cannot be moved");
    if (!add(target, *path, std::move(moved))) return cannot(operation, "there is no such place");
    return Result<void>();
  }
  return cannot(operation, "its op is none of add, remove, replace, move, copy and test");
}

}  // namespace

Result<void> apply_json_patch(json::value& target, const json::value& patch) {
  const auto* operations = patch.if_array();
  if (operations == nullptr) return Error(Code::Invalid, "a JSON patch is a list of operations, and this is none");
  if (operations->size() > kMaximumOperations) {
    return Error(Code::Invalid, "a JSON patch of " + std::to_string(operations->size()) + " operations: the limit is " +
                                    std::to_string(kMaximumOperations));
  }
  std::size_t copied = 0;
  for (const auto& operation : *operations) {
    if (auto done = apply(target, operation, copied); !done) return done;
  }
  return Result<void>();
}

}  // namespace tinf
