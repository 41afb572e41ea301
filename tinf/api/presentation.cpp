// Splicing rather than parsing wherever the bytes allow it; only table cells need a tree.
#include "tinf/api/presentation.h"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <functional>
#include <vector>

#include "tinf/api/columns.h"
#include "tinf/patch/json.h"

namespace tinf::api {
namespace {

// Of a list, between two turns of others: some milliseconds for a Table.
constexpr std::size_t kTurnObjects = 100;
constexpr std::size_t kTurnBytes = 1024 * 1024;

constexpr std::string_view kMetaVersion = "meta.k8s.io/v1";

struct Replacement {
  std::string_view part;  // A view of the object's.
  std::string_view with;
};

// As it is where a part is written with escapes, and so does not stand in the bytes as it reads.
std::string spliced(const Object& object, std::vector<Replacement> replacements) {
  const auto raw = object.raw();
  std::ranges::sort(replacements, std::less(), [](const Replacement& one) { return one.part.data(); });
  std::string text;
  text.reserve(raw.size() + 128);
  std::size_t at = 0;
  for (const auto& [part, with] : replacements) {
    const auto from = static_cast<std::size_t>(part.data() - raw.data());
    if (from < at || from + part.size() > raw.size()) return std::string(raw);
    text.append(raw.substr(at, from - at)).append(with);
    at = from + part.size();
  }
  return text.append(raw.substr(at));
}

std::string quote(std::string_view text) {
  return json_text(boost::json::value(boost::json::string_view(text.data(), text.size())));
}

std::string json_of(const ListMeta& meta) {
  std::string text = "{\"resourceVersion\":\"" + std::to_string(meta.version) + "\"";
  if (!meta.continue_token.empty()) text += ",\"continue\":" + quote(meta.continue_token);
  if (meta.remaining) text += ",\"remainingItemCount\":" + std::to_string(*meta.remaining);
  return text + "}";
}

}  // namespace

std::string with_resource_version(const Object& object, StoreVersion version) {
  const std::string text = std::to_string(version);
  return spliced(object, {{object.resource_version(), text}});
}

std::string with_api_version(const Object& object, std::string_view api_version) {
  return spliced(object, {{object.api_version(), api_version}});
}

void Presentation::plain(const Object& object, std::string& out) const {
  if (object.api_version() == type_->api_version()) {
    out.append(object.raw());
  } else if (!type_->mirrored) {
    out += with_api_version(object, type_->api_version());
  } else if (object.kind() == kPartialObjectMetadata && object.api_version() == kMetaVersion) {
    // Of which the metadata alone is followed: clients look for the kind that they asked for.
    out += spliced(object, {{object.kind(), type_->info.kind}, {object.api_version(), type_->api_version()}});
  } else {
    out.append(object.raw());  // Copies are told as they are; what is of another version was left out.
  }
}

std::string Presentation::metadata_only(const Object& object) const {
  return R"({"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":)" +
         std::string(object.json_at("/metadata").value_or("{}")) + "}";
}

std::string Presentation::row(const Object& object) const {
  auto parsed = parse_json(object.raw());
  const boost::json::value tree = parsed ? std::move(*parsed) : boost::json::value();
  std::string text = "{\"cells\":";
  text += json_text(cells(*type_, tree, clock_.wall_now()));
  if (const auto conditions = row_conditions(*type_, tree); !conditions.empty()) {
    text += ",\"conditions\":" + json_text(conditions);
  }
  if (rows_ == TableObjects::Metadata) text += ",\"object\":" + metadata_only(object);
  if (rows_ == TableObjects::None) text += ",\"object\":null";
  if (rows_ == TableObjects::Full) plain(object, text += ",\"object\":");
  return text + "}";
}

std::string Presentation::table_head(std::string_view list_meta) {
  std::string text = R"({"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":)";
  text.append(list_meta);
  text += ",\"columnDefinitions\":";
  text += columns_sent_ ? "null" : column_definitions(*type_);
  columns_sent_ = true;
  return text + ",\"rows\":[";
}

std::string Presentation::table(std::string_view list_meta, std::string_view rows) {
  return table_head(list_meta).append(rows).append(list_tail());
}

std::string Presentation::object(const Object& object) {
  switch (form_) {
    case Form::Plain: {
      std::string text;
      plain(object, text);
      return text;
    }
    case Form::Metadata:
      return metadata_only(object);
    case Form::Table:
      break;
  }
  return table("{\"resourceVersion\":\"" + std::string(object.resource_version()) + "\"}", row(object));
}

std::string Presentation::list_head(const ListMeta& meta) {
  if (form_ == Form::Table) return table_head(json_of(meta));
  if (form_ == Form::Metadata) {
    return R"({"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":)" + json_of(meta) +
           ",\"items\":[";
  }
  return "{\"kind\":\"" + type_->list_kind() + "\",\"apiVersion\":\"" + type_->api_version() +
         "\",\"metadata\":" + json_of(meta) + ",\"items\":[";
}

std::string Presentation::items(std::span<const ObjectPtr> objects) const {
  std::size_t bytes = 0;
  if (form_ == Form::Plain) {
    for (const auto& object : objects) bytes += object->raw().size() + 16;
  }
  std::string items;
  items.reserve(bytes);
  bool first = true;
  for (const auto& object : objects) {
    if (!std::exchange(first, false)) items += ',';
    if (form_ == Form::Plain) {
      plain(*object, items);
    } else {
      items += form_ == Form::Metadata ? metadata_only(*object) : row(*object);
    }
  }
  return items;
}

Task<void> Presentation::items_in_turns(const std::vector<ObjectPtr>& objects, std::string& out) const {
  std::size_t at = 0;
  while (at < objects.size()) {
    std::size_t end = at;
    for (std::size_t bytes = 0; end < objects.size() && end - at < kTurnObjects && bytes < kTurnBytes; ++end) {
      bytes += objects[end]->raw().size();
    }
    if (at > 0) {
      out += ',';
      co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
    }
    out += items(std::span(objects).subspan(at, end - at));
    at = end;
  }
}

Task<std::string> Presentation::list_in_turns(const std::vector<ObjectPtr>& objects, const ListMeta& meta) {
  std::string out = list_head(meta);
  co_await items_in_turns(objects, out);
  co_return out.append(list_tail());
}

std::string Presentation::list(const std::vector<ObjectPtr>& objects, const ListMeta& meta) {
  return list_head(meta).append(items(objects)).append(list_tail());
}

std::string Presentation::event(std::string_view type, const Object& object) {
  std::string line = "{\"type\":\"";
  line.append(type).append("\",\"object\":").append(this->object(object)).append("}\n");
  return line;
}

std::string Presentation::bookmark(StoreVersion version, bool initial_events_end) {
  std::string meta = "{\"resourceVersion\":\"" + std::to_string(version) + "\"";
  if (initial_events_end) meta += R"(,"annotations":{"k8s.io/initial-events-end":"true"})";
  meta += "}";
  std::string line = R"({"type":"BOOKMARK","object":)";
  if (form_ == Form::Plain) {
    line += "{\"kind\":\"" + type_->info.kind + "\",\"apiVersion\":\"" + type_->api_version() +
            "\",\"metadata\":" + meta + "}";
  } else if (form_ == Form::Metadata) {
    line += R"({"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":)" + meta + "}";
  } else {
    // A Table's rows carry the object, and the annotation with it.
    line += table("{\"resourceVersion\":\"" + std::to_string(version) + "\"}",
                  R"({"cells":[],"object":{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":)" +
                      meta + "}}");
  }
  return line + "}\n";
}

std::string Presentation::error_event(const Status& status) {
  return R"({"type":"ERROR","object":)" + status.to_json() + "}\n";
}

}  // namespace tinf::api
