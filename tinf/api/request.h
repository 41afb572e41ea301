// What a request line asks for: resource, place, and the options behind the question mark.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "tinf/api/status.h"
#include "tinf/object/resource.h"

namespace tinf::api {

// Decoded; of repeated parameters the first counts.
class Query {
 public:
  static Query parse(std::string_view text);

  const std::string& get(std::string_view name) const;  // Empty if absent.
  void set(std::string_view name, std::string value) { values_.insert_or_assign(std::string(name), std::move(value)); }
  bool has(std::string_view name) const { return values_.contains(name); }
  // As kube-apiserver reads it: whatever is there and is not "0" or "false".
  bool is_true(std::string_view name) const;

 private:
  std::map<std::string, std::string, std::less<>> values_;
};

// The value of an option that is a whole number; nothing: it is none, or does not fit.
std::optional<std::uint64_t> number(std::string_view text);

// 400: an option of a list or a watch that is a whole number is none. A negative one counts for nothing.
Answer<void> check_numbers(const Query& query);

struct Target {
  std::string path;
  Query query;

  static Target parse(std::string_view text);
};

// /api/v1/namespaces/N/R/NAME/SUB and its shorter forms.
struct ResourcePath {
  Resource resource;
  std::string namespace_name;
  std::string name;
  std::string subresource;
  bool in_namespace = false;

  ResourcePath() = default;

  // Nothing: the path is not one of a resource.
  static std::optional<ResourcePath> parse(std::string_view path);
};

// In which form an object, list or watch is wanted.
enum class Form { Plain, Metadata, Table };
enum class TableObjects { Metadata, None, Full };

// What the Accept header asks for, of what we have. 406: nothing of it.
Answer<Form> negotiate(std::string_view accept);

// The media types of an Accept or Content-Type header in their order, in lower case and without blanks.
struct MediaType {
  std::string type;
  std::map<std::string, std::string, std::less<>> parameters;

  MediaType() = default;
};
std::vector<MediaType> media_types(std::string_view header);

}  // namespace tinf::api
