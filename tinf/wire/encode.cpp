// Values to bytes. Objects go in as the bytes they are; only the small messages pass through a JSON tree.
#include <algorithm>
#include <boost/json.hpp>
#include <cinttypes>
#include <cstdio>

#include "tinf/wire/codec.h"
#include "tinf/wire/compression.h"

namespace tinf::wire {
namespace {

namespace json = boost::json;

constexpr std::size_t kLeastRoom = 1024;  // Bytes in a part: as many as may be sent hold the largest body.
Encoded pack(std::string_view kind, std::string body) {
  Encoded encoded{"tinf.v" + std::to_string(kVersion) + "." + std::string(kind), std::move(body), false};
  if (auto smaller = compress(encoded.body)) {
    encoded.body = std::move(*smaller);
    encoded.compressed = true;
  }
  return encoded;
}

json::object scope_to_json(const Scope& scope) {
  json::object out{
      {"group", scope.resource.group}, {"version", scope.resource.version}, {"resource", scope.resource.name}};
  if (!scope.namespace_name.empty()) out["namespace"] = scope.namespace_name;
  if (!scope.label_selector.empty()) out["labelSelector"] = scope.label_selector;
  if (!scope.field_selector.empty()) out["fieldSelector"] = scope.field_selector;
  if (scope.projection == Projection::Metadata) out["projection"] = "metadata";
  return out;
}

void put_position(json::object& out, const Position& position) {
  if (position.epoch.empty()) return;
  out["epoch"] = position.epoch;
  out["sequence"] = position.sequence;
}

json::array strings(const std::vector<std::string>& values) {
  return json::array(values.begin(), values.end());
}

std::pair<std::string, json::object> to_json(const Watch& watch) {
  json::object out{{"client", watch.client},
                   {"scope", scope_to_json(watch.scope)},
                   {"lease", watch.lease_seconds},
                   {"window", watch.window},
                   {"request", watch.request}};
  put_position(out, watch.have);
  if (watch.inventory) out["inventory"] = watch.inventory->to_string();
  if (watch.patches) out["patches"] = true;
  return {"watch", std::move(out)};
}

std::pair<std::string, json::object> to_json(const Renew& renew) {
  return {"renew", {{"client", renew.client}, {"scopes", strings(renew.scopes)}}};
}

std::pair<std::string, json::object> to_json(const Unwatch& unwatch) {
  return {"unwatch", {{"client", unwatch.client}, {"scopes", strings(unwatch.scopes)}}};
}

std::pair<std::string, json::object> to_json(const Fetch& fetch) {
  json::object out{{"client", fetch.client}, {"scope", fetch.scope}, {"snapshot", fetch.snapshot}};
  json::array pages, keys;
  for (const auto& [from, to] : fetch.pages) pages.push_back(json::array{from, to});
  for (const ObjectKey& key : fetch.keys) keys.push_back(json::string(key.to_string()));
  if (!pages.empty()) out["pages"] = std::move(pages);
  if (!keys.empty()) out["keys"] = std::move(keys);
  return {"fetch", std::move(out)};
}

std::pair<std::string, json::object> to_json(const Compare& compare) {
  json::array ranges;
  for (const KeyRange& range : compare.ranges) {
    ranges.push_back(json::array{range.from.to_string(), range.to.to_string()});
  }
  return {"compare",
          {{"client", compare.client},
           {"scope", compare.scope},
           {"snapshot", compare.snapshot},
           {"ranges", std::move(ranges)}}};
}

std::string hex(std::uint64_t number) {
  char text[17];
  std::snprintf(text, sizeof text, "%016" PRIx64, number);
  return text;
}

std::pair<std::string, json::object> to_json(const Ranges& message) {
  json::array ranges;
  for (const Ranges::Range& range : message.ranges) {
    json::object one{{"from", range.range.from.to_string()}, {"to", range.range.to.to_string()}};
    json::array items;
    for (const Ranges::Piece& piece : range.pieces) {
      items.push_back(json::array{piece.to.to_string(), piece.count, hex(piece.sum)});
    }
    for (const Ranges::Entry& entry : range.entries) {
      items.push_back(json::array{entry.key.to_string(), hex(entry.hash)});
    }
    one[range.pieces.empty() ? "entries" : "pieces"] = std::move(items);
    ranges.push_back(std::move(one));
  }
  json::object out{{"scope", message.scope},
                   {"snapshot", message.snapshot},
                   {"fingerprint", message.fingerprint.to_string()},
                   {"request", message.request}};
  put_position(out, message.at);
  if (message.behind_seconds > 0) out["behind"] = message.behind_seconds;
  out["ranges"] = std::move(ranges);
  return {"ranges", std::move(out)};
}

std::pair<std::string, json::object> to_json(const Hello& hello) {
  return {"hello", {{"client", hello.client}}};
}

std::pair<std::string, json::object> to_json(const Notice& notice) {
  static constexpr const char* kKinds[] = {"resumed", "equal", "notReady", "unknown", "refused"};
  json::object out{
      {"scope", notice.scope}, {"notice", kKinds[static_cast<int>(notice.kind)]}, {"request", notice.request}};
  put_position(out, notice.at);
  if (notice.kind == Notice::Kind::Refused) out["reason"] = to_string(notice.code);
  if (!notice.message.empty()) out["message"] = notice.message;
  if (notice.behind_seconds > 0) out["behind"] = notice.behind_seconds;
  return {"notice", std::move(out)};
}

std::pair<std::string, json::object> to_json(const Digest& digest) {
  json::array streams;
  for (const Digest::Stream& stream : digest.streams) {
    json::object one{{"scope", stream.scope},
                     {"fingerprint", stream.fingerprint.to_string()},
                     {"resourceVersion", stream.resource_version}};
    put_position(one, stream.at);
    if (stream.behind_seconds > 0) one["behind"] = stream.behind_seconds;
    streams.push_back(std::move(one));
  }
  json::object out{{"interval", digest.interval_seconds}, {"number", digest.number}};
  if (!streams.empty()) out["streams"] = std::move(streams);
  return {"digest", std::move(out)};
}

json::array to_json(const std::vector<ResourceInfo>& resources) {
  json::array out;
  for (const ResourceInfo& info : resources) {
    out.push_back(json::object{{"group", info.resource.group},
                               {"version", info.resource.version},
                               {"resource", info.resource.name},
                               {"kind", info.kind},
                               {"singular", info.singular},
                               {"shortNames", strings(info.short_names)},
                               {"categories", strings(info.categories)},
                               {"verbs", strings(info.verbs)},
                               {"namespaced", info.namespaced},
                               {"preferred", info.preferred_version}});
  }
  return out;
}

std::pair<std::string, json::object> to_json(const Presence& presence) {
  json::object out{{"state", presence.state == Presence::State::Present ? "present" : "lost"},
                   {"cluster", presence.cluster},
                   {"instance", presence.instance},
                   {"host", presence.host},
                   {"started", presence.started},
                   {"versions", json::array(presence.versions.begin(), presence.versions.end())}};
  if (!presence.cluster_uid.empty()) out["clusterUid"] = presence.cluster_uid;
  if (!presence.kubernetes.empty()) out["kubernetes"] = presence.kubernetes;
  out["resources"] = to_json(presence.resources);
  return {"presence", std::move(out)};
}

std::pair<std::string, json::object> to_json(const ClientRecord& record) {
  return {
      "client",
      {{"client", record.client}, {"instance", record.instance}, {"host", record.host}, {"started", record.started}}};
}

std::string quote(std::string_view text) {
  return json::serialize(json::string(text));
}

}  // namespace

void EventsWriter::begin(std::uint64_t sequence) {
  items_.append(items_.empty() ? "{" : ",{");
  if (sequence != 0) items_.append("\"at\":").append(std::to_string(sequence)).append(",");
  ++count_;
}

void EventsWriter::put(const Object& object, std::uint64_t sequence) {
  begin(sequence);
  items_.append("\"put\":").append(object.raw()).append("}");
}

void EventsWriter::patch(const ObjectKey& key, std::uint64_t base, const std::vector<Splice>& splices,
                         std::uint64_t sequence) {
  begin(sequence);
  items_.append("\"patch\":{");
  name(key);
  items_.append(",\"base\":\"").append(hex(base)).append("\",\"splices\":[");
  for (const Splice& splice : splices) {
    if (&splice != &splices.front()) items_.append(",");
    items_.append("[").append(std::to_string(splice.keep)).append(",").append(std::to_string(splice.drop));
    items_.append(",").append(quote(splice.insert)).append("]");
  }
  items_.append("]}}");
}

void EventsWriter::name(const ObjectKey& key) {
  if (!key.namespace_name.empty()) items_.append("\"namespace\":").append(quote(key.namespace_name)).append(",");
  items_.append("\"name\":").append(quote(key.name));
}

void EventsWriter::remove(const ObjectKey& key, std::string_view uid, std::string_view resource_version,
                          std::uint64_t sequence) {
  begin(sequence);
  items_.append("\"delete\":{");
  name(key);
  items_.append(",\"uid\":").append(quote(uid));
  items_.append(",\"resourceVersion\":").append(quote(resource_version)).append("}}");
}

Encoded EventsWriter::finish_frame(const Frame& head) && {
  std::string body = "{\"scope\":" + quote(head.scope) + ",\"epoch\":" + quote(head.epoch) +
                     ",\"after\":" + std::to_string(head.after) + ",\"through\":" + std::to_string(head.through) +
                     (head.head > head.through ? ",\"head\":" + std::to_string(head.head) : "") +
                     ",\"count\":" + std::to_string(count_) + ",\"events\":[";
  body.reserve(body.size() + items_.size() + 2);
  body.append(items_).append("]}");
  return pack("frame", std::move(body));
}

Encoded EventsWriter::finish_page(const Page& head) && {
  std::string body = "{\"scope\":" + quote(head.scope) + ",\"snapshot\":" + quote(head.snapshot) +
                     ",\"epoch\":" + quote(head.at.epoch) + ",\"sequence\":" + std::to_string(head.at.sequence) +
                     ",\"page\":" + std::to_string(head.number) + (head.last ? ",\"last\":true" : "") +
                     ",\"total\":" + std::to_string(head.total) +
                     ",\"fingerprint\":" + quote(head.fingerprint.to_string()) +
                     ",\"request\":" + std::to_string(head.request) +
                     (head.behind_seconds > 0 ? ",\"behind\":" + std::to_string(head.behind_seconds) : "") +
                     ",\"count\":" + std::to_string(count_) + ",\"events\":[";
  body.reserve(body.size() + items_.size() + 2);
  body.append(items_).append("]}");
  return pack("page", std::move(body));
}

Encoded EventsWriter::finish_objects(std::string_view scope, std::string_view snapshot) && {
  std::string body = "{\"scope\":" + quote(scope) + ",\"snapshot\":" + quote(snapshot) +
                     ",\"count\":" + std::to_string(count_) + ",\"events\":[";
  body.reserve(body.size() + items_.size() + 2);
  body.append(items_).append("]}");
  return pack("objects", std::move(body));
}

std::string encode_resources(const std::vector<ResourceInfo>& resources) {
  return json::serialize(to_json(resources));
}

Encoded encode(const Body& body) {
  return std::visit(
      [](const auto& message) -> Encoded {
        using T = std::decay_t<decltype(message)>;
        if constexpr (std::is_same_v<T, Frame>) {
          EventsWriter writer(0);
          auto patch = message.patches.begin();
          for (std::size_t i = 0; i < message.events.size(); ++i) {
            const WatchEvent& event = message.events[i];
            if (event.type == EventType::Deleted) {
              writer.remove(event.key, event.uid, event.resource_version, message.sequences[i]);
            } else if (event.object) {
              writer.put(*event.object, message.sequences[i]);
            } else {
              writer.patch(event.key, patch->base, patch->splices, message.sequences[i]);
              ++patch;
            }
          }
          return std::move(writer).finish_frame(message);
        } else if constexpr (std::is_same_v<T, Page>) {
          EventsWriter writer(0);
          for (const ObjectPtr& object : message.objects) writer.put(*object);
          return std::move(writer).finish_page(message);
        } else if constexpr (std::is_same_v<T, Objects>) {
          EventsWriter writer(0);
          for (const ObjectPtr& object : message.objects) writer.put(*object);
          return std::move(writer).finish_objects(message.scope, message.snapshot);
        } else {
          auto [kind, tree] = to_json(message);
          return pack(kind, json::serialize(tree));
        }
      },
      body);
}

std::vector<Message> to_messages(const Encoded& encoded, std::string_view topic, Sender& sender,
                                 std::size_t maximum_bytes, bool retain) {
  Message head;
  head.topic = std::string(topic);
  head.retain = retain;
  head.attributes = {
      {"specversion", "1.0"}, {"id", sender.next_id()}, {"source", sender.source()}, {"type", encoded.type}};
  if (encoded.compressed) head.attributes.emplace_back("encoding", "zstd");

  // What a message costs besides its body: MQTT's own fields, and room for the number of a part.
  std::size_t overhead = head.topic.size() + 64;
  for (const auto& [name, value] : head.attributes) overhead += name.size() + value.size() + 5;
  const std::size_t room = std::max(maximum_bytes, overhead + kLeastRoom) - overhead;

  std::vector<Message> messages;
  if (encoded.body.size() <= room) {
    messages.push_back(head);
    messages.back().body = encoded.body;
    return messages;
  }
  const std::size_t parts = (encoded.body.size() + room - 1) / room;
  for (std::size_t i = 0; i < parts; ++i) {
    messages.push_back(head);
    messages.back().attributes.emplace_back("part", std::to_string(i + 1) + "/" + std::to_string(parts));
    messages.back().body = encoded.body.substr(i * room, room);
  }
  return messages;
}

}  // namespace tinf::wire
