#include "tinf/api/request.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include "tinf/object/text.h"

namespace tinf::api {
namespace {

constexpr std::size_t kMaximumMediaTypes = 32;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string decoded(std::string_view text, bool plus_is_space) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0) {
      result += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
      i += 2;
    } else {
      result += plus_is_space && text[i] == '+' ? ' ' : text[i];
    }
  }
  return result;
}

std::string without_blanks(std::string_view text) {
  std::string result;
  for (char c : text) {
    if (c != ' ' && c != '\t' && c != '"') result += c;
  }
  return result;
}

}  // namespace

Query Query::parse(std::string_view text) {
  Query query;
  if (text.empty()) return query;
  for (const auto part : split(text, '&')) {
    const auto equals = part.find('=');
    const auto value = equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1);
    query.values_.emplace(decoded(part.substr(0, equals), true), decoded(value, true));
  }
  return query;
}

const std::string& Query::get(std::string_view name) const {
  static const std::string nothing;
  const auto found = values_.find(name);
  return found == values_.end() ? nothing : found->second;
}

bool Query::is_true(std::string_view name) const {
  const auto found = values_.find(name);
  if (found == values_.end() || found->second == "0") return false;
  constexpr std::string_view kFalse = "false";
  return !std::ranges::equal(found->second, kFalse, {}, [](unsigned char c) { return std::tolower(c); });
}

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [at, failure] = std::from_chars(text.data(), end, value);
  if (text.empty() || failure != std::errc() || at != end) return std::nullopt;
  return value;
}

Answer<void> check_numbers(const Query& query) {
  for (const std::string_view name : {"limit", "timeoutSeconds"}) {
    const auto& text = query.get(name);
    const bool is_negative = text.starts_with('-') && number(text.substr(1));
    if (text.empty() || number(text) || is_negative) continue;
    return Status::bad_request("strconv.ParseInt: parsing \"" + text + "\": invalid syntax");
  }
  return {};
}

Target Target::parse(std::string_view text) {
  const auto mark = text.find('?');
  Target target;
  target.path = decoded(text.substr(0, mark), false);
  if (mark != std::string_view::npos) target.query = Query::parse(text.substr(mark + 1));
  while (target.path.size() > 1 && target.path.back() == '/') target.path.pop_back();
  return target;
}

std::optional<ResourcePath> ResourcePath::parse(std::string_view path) {
  if (path.empty() || path.front() != '/') return std::nullopt;
  auto parts = split(path.substr(1), '/');
  if (std::any_of(parts.begin(), parts.end(), [](auto part) { return part.empty(); })) return std::nullopt;
  ResourcePath found;
  std::size_t at = 0;
  if (parts.size() >= 3 && parts[0] == "api") {
    found.resource.version = parts[1];
    at = 2;
  } else if (parts.size() >= 4 && parts[0] == "apis") {
    found.resource.group = parts[1];
    found.resource.version = parts[2];
    at = 3;
  } else {
    return std::nullopt;
  }
  // namespaces/N/status is the status of a namespace, not a resource in it.
  const bool of_namespace = parts.size() - at >= 3 && parts[at] == "namespaces" &&
                            !(parts.size() - at == 3 && (parts[at + 2] == "status" || parts[at + 2] == "finalize"));
  if (of_namespace) {
    found.namespace_name = parts[at + 1];
    found.in_namespace = true;
    at += 2;
  }
  found.resource.name = parts[at];
  if (parts.size() > at + 1) found.name = parts[at + 1];
  if (parts.size() > at + 2) found.subresource = parts[at + 2];
  if (parts.size() > at + 3) return std::nullopt;
  return found;
}

std::vector<MediaType> media_types(std::string_view header) {
  std::vector<MediaType> types;
  for (const auto part : split(header, ',')) {
    if (types.size() == kMaximumMediaTypes) break;
    MediaType media;
    for (const auto piece : split(part, ';')) {
      std::string text = without_blanks(piece);
      if (media.type.empty()) {
        media.type = lower_case(std::move(text));
        continue;
      }
      const auto equals = text.find('=');
      media.parameters.emplace(text.substr(0, equals), equals == std::string::npos ? "" : text.substr(equals + 1));
    }
    types.push_back(std::move(media));
  }
  return types;
}

Answer<Form> negotiate(std::string_view accept) {
  if (accept.empty()) return Form::Plain;
  for (const auto& media : media_types(accept)) {
    if (media.type != "application/json" && media.type != "application/*" && media.type != "*/*") continue;
    const auto as = media.parameters.find("as");
    if (as == media.parameters.end()) return Form::Plain;
    const auto group = media.parameters.find("g");
    if (group == media.parameters.end() || group->second != "meta.k8s.io") continue;
    const auto version = media.parameters.find("v");
    if (version != media.parameters.end() && version->second != "v1") continue;
    if (as->second == "Table") return Form::Table;
    if (as->second == "PartialObjectMetadata" || as->second == "PartialObjectMetadataList") return Form::Metadata;
  }
  return Status::not_acceptable("application/json, application/json;as=Table;v=v1;g=meta.k8s.io");
}

}  // namespace tinf::api
