// The file has one schema a line, "NAME":SCHEMA, so that it is read without a parser. It is ours: what is wrong with it
// is found when it is committed, by the tests.
#include "tinf/api/schemas.h"

#include <zstd.h>

#include <boost/json/array.hpp>

#include "tinf/patch/json.h"

// The assembler puts the file into the program; TINF_SCHEMAS_FILE is its path.
__asm__(
    ".section .rodata\n"
    ".global tinf_schemas_begin\n"
    ".hidden tinf_schemas_begin\n"
    "tinf_schemas_begin:\n"
    ".incbin \"" TINF_SCHEMAS_FILE
    "\"\n"
    ".global tinf_schemas_end\n"
    ".hidden tinf_schemas_end\n"
    "tinf_schemas_end:\n"
    ".previous\n");

extern "C" {
extern const char tinf_schemas_begin[];
extern const char tinf_schemas_end[];
}

namespace tinf::api {
namespace {

constexpr std::string_view kVersion = "\"version\":\"";
constexpr std::string_view kKinds = "\"x-kubernetes-group-version-kind\":";

std::string unpacked() {
  const auto size = static_cast<std::size_t>(tinf_schemas_end - tinf_schemas_begin);
  std::string text(ZSTD_getFrameContentSize(tinf_schemas_begin, size), '\0');
  text.resize(ZSTD_decompress(text.data(), text.size(), tinf_schemas_begin, size));
  return text;
}

// What stands between the end of `mark` and the next `end`; empty: no mark.
std::string_view behind(std::string_view text, std::string_view mark, char end) {
  const auto at = text.find(mark);
  if (at == std::string_view::npos) return {};
  text.remove_prefix(at + mark.size());
  return text.substr(0, text.find(end));
}

}  // namespace

const BuiltInSchemas& BuiltInSchemas::get() {
  static const BuiltInSchemas schemas(unpacked());
  return schemas;
}

BuiltInSchemas::BuiltInSchemas(std::string text) : text_(std::move(text)) {
  std::string_view rest = text_;
  version_ = behind(rest.substr(0, rest.find('\n')), kVersion, '"');
  while (!rest.empty()) {
    auto line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (!line.starts_with('"')) continue;  // The first and the last one.
    if (line.ends_with(',')) line.remove_suffix(1);
    const auto quote = line.find('"', 1);
    const auto name = line.substr(1, quote - 1);
    const auto schema = line.substr(quote + 2);
    by_name_.emplace(name, schema);
    const auto kinds = behind(schema, kKinds, ']');
    if (kinds.empty()) continue;
    const auto tree = parse_json(std::string(kinds) + "]");
    if (!tree || !tree->is_array()) continue;
    for (const auto& kind : tree->get_array()) {
      names_.emplace(
          std::tuple(std::string(json_string_at(kind, {"group"})), std::string(json_string_at(kind, {"version"})),
                     std::string(json_string_at(kind, {"kind"}))),
          name);
    }
  }
}

std::string_view BuiltInSchemas::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? std::string_view() : found->second;
}

std::string_view BuiltInSchemas::name_of(const Resource& resource, std::string_view kind) const {
  const auto found = names_.find(std::tuple(resource.group, resource.version, std::string(kind)));
  return found == names_.end() ? std::string_view() : found->second;
}

std::vector<std::string_view> references_in(std::string_view schema) {
  std::vector<std::string_view> names;
  for (auto at = schema.find(kSchemaReference); at != std::string_view::npos; at = schema.find(kSchemaReference)) {
    schema.remove_prefix(at + kSchemaReference.size());
    names.push_back(schema.substr(0, schema.find('"')));
  }
  return names;
}

}  // namespace tinf::api
