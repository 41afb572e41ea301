// JSON bodies to values. Everything here may have been written by an enemy: each refusal says why.
#include <simdjson.h>

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <limits>

#include "tinf/wire/codec.h"
#include "tinf/wire/topics.h"

namespace tinf::wire {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaximumTree =
    4 << 20;  // Bytes of a body without objects; as a tree it takes several times that.
constexpr std::size_t kMaximumResources = 4096;  // That one cluster offers.

Error invalid(std::string what) {
  return Error(Code::Invalid, std::move(what));
}

// Reads members of a small message's JSON tree; remembers the first thing that is wrong. Unknown members are ignored.
class Reader {
 public:
  explicit Reader(const json::object& object) : object_(object) {}

  bool has(std::string_view name) const { return object_.contains(name); }

  std::string text(std::string_view name, bool required = true) {
    const json::value* value = find(name, required);
    if (value == nullptr) return {};
    if (!value->is_string()) return fail(name, "a string"), std::string();
    return std::string(value->get_string());
  }

  template <class T>
  T number(std::string_view name, bool required = true) {
    const json::value* value = find(name, required);
    if (value == nullptr) return 0;
    boost::system::error_code error;
    const T number = value->to_number<T>(error);
    if (error || value->is_double()) return fail(name, "a whole number in range"), T(0);
    return number;
  }

  bool flag(std::string_view name) {
    const json::value* value = find(name, false);
    return value != nullptr && value->is_bool() && value->get_bool();
  }

  std::vector<std::string> texts(std::string_view name, bool required = true) {
    std::vector<std::string> out;
    for (const json::value& value : array(name, required)) {
      if (!value.is_string()) return fail(name, "a list of strings"), std::vector<std::string>();
      out.emplace_back(value.get_string());
    }
    return out;
  }

  const json::array& array(std::string_view name, bool required = true) {
    static const json::array kNone;
    const json::value* value = find(name, required);
    if (value == nullptr) return kNone;
    if (!value->is_array()) return fail(name, "a list"), kNone;
    return value->get_array();
  }

  const json::object& object(std::string_view name) {
    static const json::object kNone;
    const json::value* value = find(name, true);
    if (value == nullptr) return kNone;
    if (!value->is_object()) return fail(name, "an object"), kNone;
    return value->get_object();
  }

  Position position() {
    Position position;
    position.epoch = text("epoch", false);
    if (!position.epoch.empty()) position.sequence = number<std::uint64_t>("sequence");
    return position;
  }

  Fingerprint fingerprint(std::string_view name) {
    auto parsed = Fingerprint::from_string(text(name));
    if (!parsed) return fail(name, "a fingerprint"), Fingerprint();
    return *parsed;
  }

  void fail(std::string_view name, std::string_view wanted) {
    if (error_.empty()) error_ = "\"" + std::string(name) + "\" is not " + std::string(wanted);
  }
  void take_error(const Reader& other) {
    if (error_.empty()) error_ = other.error_;
  }
  const std::string& error() const { return error_; }

 private:
  const json::value* find(std::string_view name, bool required) {
    const json::value* value = object_.if_contains(name);
    if (value == nullptr && required) fail(name, "there");
    return value;
  }

  const json::object& object_;
  std::string error_;
};

Scope read_scope(Reader& outer) {
  Reader in(outer.object("scope"));
  Scope scope;
  scope.resource = Resource{in.text("group", false), in.text("version"), in.text("resource")};
  scope.namespace_name = in.text("namespace", false);
  scope.label_selector = in.text("labelSelector", false);
  scope.field_selector = in.text("fieldSelector", false);
  const std::string projection = in.text("projection", false);
  if (projection == "metadata") {
    scope.projection = Projection::Metadata;
  } else if (!projection.empty()) {
    in.fail("projection", "one that is known");
  }
  outer.take_error(in);
  return scope;
}

Body read_watch(Reader& in) {
  Watch watch;
  watch.client = in.text("client");
  watch.scope = read_scope(in);
  watch.have = in.position();
  if (in.has("inventory")) watch.inventory = in.fingerprint("inventory");
  watch.lease_seconds = in.number<std::uint32_t>("lease");
  watch.window = in.number<std::uint32_t>("window");
  watch.request = in.number<std::uint64_t>("request", false);
  watch.patches = in.flag("patches");
  return watch;
}

// Nothing where it is no text, or one that is not how a key is written.
std::optional<ObjectKey> read_key(const json::value& value) {
  const json::string* text = value.if_string();
  return text == nullptr ? std::nullopt : ObjectKey::from_string(*text);
}

Body read_fetch(Reader& in) {
  Fetch fetch{in.text("client"), in.text("scope"), in.text("snapshot"), {}, {}};
  for (const json::value& value : in.array("keys", false)) {
    auto key = read_key(value);
    if (!key || key->name.empty()) return in.fail("keys", "a list of names"), fetch;
    fetch.keys.push_back(std::move(*key));
  }
  for (const json::value& value : in.array("pages", false)) {
    const json::array* pair = value.if_array();
    boost::system::error_code first, second;
    if (pair == nullptr || pair->size() != 2) return in.fail("pages", "a list of pairs"), fetch;
    fetch.pages.emplace_back((*pair)[0].to_number<std::uint32_t>(first), (*pair)[1].to_number<std::uint32_t>(second));
    if (first || second || fetch.pages.back().first >= fetch.pages.back().second)
      return in.fail("pages", "a list of pairs of numbers, rising"), fetch;
  }
  return fetch;
}

Body read_notice(Reader& in) {
  Notice notice;
  notice.scope = in.text("scope");
  notice.at = in.position();
  notice.message = in.text("message", false);
  notice.request = in.number<std::uint64_t>("request", false);
  const std::string kind = in.text("notice");
  if (kind == "resumed") {
    notice.kind = Notice::Kind::Resumed;
  } else if (kind == "equal") {
    notice.kind = Notice::Kind::Equal;
    notice.behind_seconds = in.number<std::uint32_t>("behind", false);
  } else if (kind == "notReady") {
    notice.kind = Notice::Kind::NotReady;
  } else if (kind == "unknown") {
    notice.kind = Notice::Kind::Unknown;
  } else if (kind == "refused") {
    notice.kind = Notice::Kind::Refused;
    notice.code = code_from_string(in.text("reason"));
  } else {
    in.fail("notice", "one that is known");
  }
  return notice;
}

Body read_digest(Reader& in) {
  Digest digest;
  digest.interval_seconds = in.number<std::uint32_t>("interval");
  digest.number = in.number<std::uint64_t>("number", false);
  for (const json::value& value : in.array("streams", false)) {
    if (!value.is_object()) return in.fail("streams", "a list of objects"), digest;
    Reader one(value.get_object());
    digest.streams.push_back(Digest::Stream{one.text("scope"), one.position(), one.fingerprint("fingerprint"),
                                            one.text("resourceVersion", false),
                                            one.number<std::uint32_t>("behind", false)});
    in.take_error(one);
  }
  return digest;
}

// Lower-case letters, digits, '-' and '.'; "" as well.
bool is_dns_name(std::string_view text) {
  return text.size() <= 253 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
         });
}

Body read_presence(Reader& in) {
  Presence presence;
  presence.state = in.text("state") == "present" ? Presence::State::Present : Presence::State::Lost;
  presence.cluster = in.text("cluster");
  presence.instance = in.text("instance");
  presence.host = in.text("host", false);
  presence.started = in.number<std::int64_t>("started", false);
  presence.cluster_uid = in.text("clusterUid", false);
  presence.kubernetes = in.text("kubernetes", false);
  presence.versions.clear();
  for (const json::value& value : in.array("versions")) {
    if (value.is_int64()) presence.versions.push_back(static_cast<int>(value.get_int64()));
  }
  if (in.array("resources").size() > kMaximumResources)
    return in.fail("resources", "a list of a bearable length"), presence;
  for (const json::value& value : in.array("resources")) {
    if (!value.is_object()) return in.fail("resources", "a list of objects"), presence;
    Reader one(value.get_object());
    presence.resources.push_back(ResourceInfo{{one.text("group", false), one.text("version"), one.text("resource")},
                                              one.text("kind"),
                                              one.text("singular", false),
                                              one.texts("shortNames"),
                                              one.texts("categories"),
                                              one.texts("verbs"),
                                              one.flag("namespaced"),
                                              one.flag("preferred")});
    in.take_error(one);
    // Names end up in lines that people and scripts read.
    const Resource& resource = presence.resources.back().resource;
    const bool plain = is_dns_name(resource.group) && is_dns_name(resource.version) && is_dns_name(resource.name);
    if (!plain || resource.version.empty() || resource.name.empty())
      return in.fail("resources", "named by DNS names"), presence;
  }
  return presence;
}

// A list of a fixed length, as a key with its hash; null if it is none.
const json::array* tuple(const json::value& value, std::size_t size) {
  const json::array* items = value.if_array();
  return items != nullptr && items->size() == size && (*items)[0].is_string() ? items : nullptr;
}

std::optional<std::uint64_t> from_hex(const json::value& value) {
  const json::string* text = value.if_string();
  std::uint64_t number = 0;
  if (text == nullptr || text->size() != 16) return std::nullopt;
  const auto [end, error] = std::from_chars(text->begin(), text->end(), number, 16);
  if (error != std::errc() || end != text->end()) return std::nullopt;
  return number;
}

Body read_compare(Reader& in) {
  Compare compare{in.text("client"), in.text("scope"), in.text("snapshot"), {}};
  for (const json::value& value : in.array("ranges")) {
    const json::array* pair = tuple(value, 2);
    auto from = pair == nullptr ? std::nullopt : read_key((*pair)[0]);
    auto to = pair == nullptr ? std::nullopt : read_key((*pair)[1]);
    if (!from || !to) return in.fail("ranges", "a list of pairs of names"), compare;
    compare.ranges.push_back(KeyRange{std::move(*from), std::move(*to)});
  }
  return compare;
}

// Pieces cover their range without a gap, entries rise within it: whoever compares with them may rely on that.
void read_pieces(Reader& in, Ranges::Range& range) {
  ObjectKey from = range.range.from;
  std::size_t left = in.array("pieces").size();
  if (left == 0) return in.fail("pieces", "a list that is not empty");
  for (const json::value& value : in.array("pieces")) {
    const json::array* triple = tuple(value, 3);
    auto end = triple == nullptr ? std::nullopt : read_key((*triple)[0]);
    const auto sum = triple == nullptr ? std::nullopt : from_hex((*triple)[2]);
    boost::system::error_code error;
    const auto count = sum ? (*triple)[1].to_number<std::uint64_t>(error) : 0;
    if (!end || !sum || error) return in.fail("pieces", "a list of ends, counts and sums");
    range.pieces.push_back(Ranges::Piece{std::move(*end), count, *sum});
    const ObjectKey& to = range.pieces.back().to;
    const bool ends = --left == 0 ? to == range.range.to : !to.name.empty() && to > from && range.range.contains(to);
    if (!ends) return in.fail("pieces", "a list that covers its range in order");
    from = to;
  }
}

void read_entries(Reader& in, Ranges::Range& range) {
  for (const json::value& value : in.array("entries")) {
    const json::array* pair = tuple(value, 2);
    auto key = pair == nullptr ? std::nullopt : read_key((*pair)[0]);
    const auto hash = pair == nullptr ? std::nullopt : from_hex((*pair)[1]);
    if (!key || !hash) return in.fail("entries", "a list of keys and hashes");
    Ranges::Entry entry{std::move(*key), *hash};
    const bool rises = range.entries.empty() || range.entries.back().key < entry.key;
    if (entry.key.name.empty() || !rises || !range.range.contains(entry.key))
      return in.fail("entries", "a list that rises within its range");
    range.entries.push_back(std::move(entry));
  }
}

Body read_ranges(Reader& in) {
  Ranges message;
  message.scope = in.text("scope");
  message.snapshot = in.text("snapshot");
  message.at = in.position();
  message.fingerprint = in.fingerprint("fingerprint");
  message.request = in.number<std::uint64_t>("request", false);
  message.behind_seconds = in.number<std::uint32_t>("behind", false);
  for (const json::value& value : in.array("ranges")) {
    if (!value.is_object()) return in.fail("ranges", "a list of objects"), message;
    Reader one(value.get_object());
    Ranges::Range range;
    auto from = ObjectKey::from_string(one.text("from"));
    auto to = ObjectKey::from_string(one.text("to"));
    if (!from || !to) return in.fail("ranges", "between names"), message;
    range.range = KeyRange{std::move(*from), std::move(*to)};
    if (one.has("pieces")) {
      read_pieces(one, range);
    } else {
      read_entries(one, range);
    }
    in.take_error(one);
    if (!in.error().empty()) return message;
    message.ranges.push_back(std::move(range));
  }
  if (message.snapshot.empty() || message.at.epoch.empty()) in.fail("snapshot", "named with its position");
  return message;
}

using ReadBody = Body (*)(Reader&);

// Every kind but those that carry objects.
ReadBody reader_of(std::string_view kind) {
  if (kind == "watch") return read_watch;
  if (kind == "renew") return [](Reader& in) -> Body { return Renew{in.text("client"), in.texts("scopes")}; };
  if (kind == "unwatch") return [](Reader& in) -> Body { return Unwatch{in.text("client"), in.texts("scopes")}; };
  if (kind == "fetch") return read_fetch;
  if (kind == "compare") return read_compare;
  if (kind == "ranges") return read_ranges;
  if (kind == "hello") return [](Reader& in) -> Body { return Hello{in.text("client")}; };
  if (kind == "notice") return read_notice;
  if (kind == "digest") return read_digest;
  if (kind == "presence") return read_presence;
  if (kind == "client") {
    return [](Reader& in) -> Body {
      return ClientRecord{in.text("client"), in.text("instance"), in.text("host", false),
                          in.number<std::int64_t>("started", false)};
    };
  }
  return nullptr;
}

// The members of what carries objects, of which only the objects are large: read in one pass, objects as raw bytes.
struct Bulk {
  std::string scope, snapshot, epoch, fingerprint;
  std::uint64_t sequence = 0, after = 0, through = 0, head = 0, count = 0, total = 0, page = 0, request = 0, behind = 0;
  bool last = false;
  std::vector<WatchEvent> events;
  std::vector<std::uint64_t> sequences;
  std::vector<Patch> patches;
};

simdjson::error_code read_text(simdjson::ondemand::value value, std::string& out) {
  std::string_view text;
  if (auto error = value.get_string().get(text)) return error;
  out = text;
  return simdjson::SUCCESS;
}

// A list of lists of three: a hostile one is not kept for longer than it takes to count.
simdjson::error_code read_splices(simdjson::ondemand::value value, std::vector<Splice>& splices) {
  simdjson::ondemand::array list;
  if (auto error = value.get_array().get(list)) return error;
  for (auto item : list) {
    if (splices.size() == kMaximumSplices) return simdjson::CAPACITY;
    simdjson::ondemand::array members;
    if (auto error = item.get_array().get(members)) return error;
    Splice& splice = splices.emplace_back();
    std::size_t count = 0;
    for (auto member : members) {
      simdjson::error_code error = simdjson::INDEX_OUT_OF_BOUNDS;
      if (count == 0) error = member.get_uint64().get(splice.keep);
      if (count == 1) error = member.get_uint64().get(splice.drop);
      std::string_view text;
      if (count == 2) error = member.get_string().get(text);
      if (error) return error;
      splice.insert = text;
      ++count;
    }
    if (count != 3) return simdjson::INDEX_OUT_OF_BOUNDS;
  }
  return simdjson::SUCCESS;
}

Result<void> read_patch(simdjson::ondemand::object body, Bulk& bulk) {
  ObjectKey key;
  std::string base;
  Patch patch;
  for (auto member : body) {
    simdjson::ondemand::field part;
    if (std::move(member).get(part)) return invalid("a patch that cannot be read");
    simdjson::error_code error = simdjson::SUCCESS;
    const auto name = part.key();
    if (name == "namespace") {
      error = read_text(part.value(), key.namespace_name);
    } else if (name == "name") {
      error = read_text(part.value(), key.name);
    } else if (name == "base") {
      error = read_text(part.value(), base);
    } else if (name == "splices") {
      error = read_splices(part.value(), patch.splices);
    }
    if (error) return invalid(std::string("a patch that cannot be read: ") + simdjson::error_message(error));
  }
  const auto [end, error] = std::from_chars(base.data(), base.data() + base.size(), patch.base, 16);
  if (key.name.empty() || !key.is_plain() || base.size() != 16 || error != std::errc() ||
      end != base.data() + base.size())
    return invalid("a patch without a name or a base");
  bulk.events.push_back(WatchEvent(EventType::Modified, std::move(key), "", nullptr, ""));
  bulk.patches.push_back(std::move(patch));
  return {};
}

Result<void> read_event(simdjson::ondemand::object event, Bulk& bulk) {
  std::vector<WatchEvent>& out = bulk.events;
  bulk.sequences.push_back(0);
  for (auto entry : event) {
    simdjson::ondemand::field field;
    if (std::move(entry).get(field)) return invalid("an event that is not an object");
    simdjson::ondemand::object body;
    if (field.key() == "at") {  // Stands before the change itself.
      if (field.value().get_uint64().get(bulk.sequences.back()))
        return invalid("an event whose sequence is not a number");
      continue;
    }
    if (field.key() == "put") {
      std::string_view raw;
      if (field.value().get_object().get(body) || body.raw_json().get(raw))
        return invalid("a put that is not an object");
      ParseOptions as_it_is;
      as_it_is.keep_managed_fields = true;  // The provider has decided; bytes stay equal on both sides.
      auto object = Object::parse(raw, as_it_is);
      if (!object) return object.error();
      out.push_back(WatchEvent::modified(std::move(*object)));
      return {};
    }
    if (field.key() == "patch") {
      if (field.value().get_object().get(body)) return invalid("a patch that is not an object");
      return read_patch(body, bulk);
    }
    if (field.key() == "delete") {
      ObjectKey key;
      std::string uid, resource_version;
      if (field.value().get_object().get(body)) return invalid("a delete that is not an object");
      for (auto member : body) {
        simdjson::ondemand::field part;
        if (std::move(member).get(part)) return invalid("a delete that cannot be read");
        std::string* const to = part.key() == "namespace"         ? &key.namespace_name
                                : part.key() == "name"            ? &key.name
                                : part.key() == "uid"             ? &uid
                                : part.key() == "resourceVersion" ? &resource_version
                                                                  : nullptr;
        if (to != nullptr && read_text(part.value(), *to)) return invalid("a delete whose names are not strings");
      }
      if (key.name.empty() || !key.is_plain()) return invalid("a delete without a name");
      out.push_back(WatchEvent::deleted(std::move(key), std::move(uid), std::move(resource_version)));
      return {};
    }
  }
  return invalid("an event that is neither put nor patch nor delete");
}

Result<Bulk> read_bulk(std::string_view text) {
  thread_local simdjson::ondemand::parser parser;
  thread_local std::string padded;
  padded.assign(text);
  padded.reserve(text.size() + simdjson::SIMDJSON_PADDING);
  simdjson::ondemand::document document;
  simdjson::ondemand::object root;
  if (parser.iterate(padded.data(), padded.size(), padded.capacity()).get(document) ||
      document.get_object().get(root)) {
    return invalid("a body that is not a JSON object");
  }
  Bulk bulk;
  for (auto entry : root) {
    simdjson::ondemand::field field;
    if (std::move(entry).get(field)) return invalid("a truncated or broken body");
    const auto key = field.key();
    simdjson::error_code error = simdjson::SUCCESS;
    if (key == "scope") {
      error = read_text(field.value(), bulk.scope);
    } else if (key == "snapshot") {
      error = read_text(field.value(), bulk.snapshot);
    } else if (key == "epoch") {
      error = read_text(field.value(), bulk.epoch);
    } else if (key == "fingerprint") {
      error = read_text(field.value(), bulk.fingerprint);
    } else if (key == "after") {
      error = field.value().get_uint64().get(bulk.after);
    } else if (key == "through") {
      error = field.value().get_uint64().get(bulk.through);
    } else if (key == "head") {
      error = field.value().get_uint64().get(bulk.head);
    } else if (key == "sequence") {
      error = field.value().get_uint64().get(bulk.sequence);
    } else if (key == "count") {
      error = field.value().get_uint64().get(bulk.count);
    } else if (key == "total") {
      error = field.value().get_uint64().get(bulk.total);
    } else if (key == "request") {
      error = field.value().get_uint64().get(bulk.request);
    } else if (key == "behind") {
      error = field.value().get_uint64().get(bulk.behind);
    } else if (key == "page") {
      error = field.value().get_uint64().get(bulk.page);
    } else if (key == "last") {
      error = field.value().get_bool().get(bulk.last);
    } else if (key == "events") {
      simdjson::ondemand::array events;
      if (field.value().get_array().get(events)) return invalid("a body whose events are not a list");
      for (auto item : events) {
        if (error) break;
        simdjson::ondemand::object event;
        error = item.get_object().get(event);
        if (error) break;
        auto read = read_event(event, bulk);
        if (!read) return read.error();
      }
    }
    if (error) return invalid(std::string("a broken body: ") + simdjson::error_message(error));
  }
  if (bulk.scope.empty()) return invalid("a body without its scope");
  if (bulk.events.size() != bulk.count) {
    return invalid("a body that announces " + std::to_string(bulk.count) + " events and holds " +
                   std::to_string(bulk.events.size()));
  }
  return bulk;
}

Result<Body> read_frame(std::string_view text) {
  auto bulk = read_bulk(text);
  if (!bulk) return bulk.error();
  if (bulk->epoch.empty()) return invalid("a frame without its epoch");
  std::uint64_t previous = bulk->after;
  for (const std::uint64_t sequence : bulk->sequences) {
    if (sequence <= previous || sequence > bulk->through)
      return invalid("a frame whose sequences do not rise from after to through");
    previous = sequence;
  }
  if (bulk->head == 0) bulk->head = bulk->through;
  if (bulk->head < bulk->through) return invalid("a frame from beyond the head of its stream");
  if (bulk->through <= bulk->after) return invalid("a frame that brings nothing forward");
  return Body(Frame{std::move(bulk->scope), std::move(bulk->epoch), bulk->after, bulk->through, bulk->head,
                    std::move(bulk->events), std::move(bulk->sequences), std::move(bulk->patches)});
}

Result<std::vector<ObjectPtr>> objects_of(Bulk& bulk) {
  std::vector<ObjectPtr> objects;
  objects.reserve(bulk.events.size());
  for (WatchEvent& event : bulk.events) {
    if (event.object == nullptr) return invalid("a delete or a patch where only objects may stand");
    objects.push_back(std::move(event.object));
  }
  return objects;
}

Result<Body> read_page(std::string_view text) {
  auto bulk = read_bulk(text);
  if (!bulk) return bulk.error();
  auto fingerprint = Fingerprint::from_string(bulk->fingerprint);
  if (!fingerprint) return fingerprint.error();
  if (bulk->snapshot.empty() || bulk->epoch.empty() || bulk->page > std::numeric_limits<std::uint32_t>::max() / 2)
    return invalid("a page without a snapshot and its epoch, or with a wild number");
  Page page{
      std::move(bulk->scope),
      std::move(bulk->snapshot),
      Position{std::move(bulk->epoch), bulk->sequence},
      static_cast<std::uint32_t>(bulk->page),
      bulk->last,
      bulk->total,
      *fingerprint,
      bulk->request,
      static_cast<std::uint32_t>(std::min<std::uint64_t>(bulk->behind, std::numeric_limits<std::uint32_t>::max())),
      {}};
  auto objects = objects_of(*bulk);
  if (!objects) return objects.error();
  page.objects = std::move(*objects);
  return Body(std::move(page));
}

Result<Body> read_objects(std::string_view text) {
  auto bulk = read_bulk(text);
  if (!bulk) return bulk.error();
  if (bulk->snapshot.empty()) return invalid("objects of no snapshot");
  auto objects = objects_of(*bulk);
  if (!objects) return objects.error();
  return Body(Objects{std::move(bulk->scope), std::move(bulk->snapshot), std::move(*objects)});
}

}  // namespace

Result<Body> decode_body(std::string_view kind, std::string_view text) {
  if (kind == "frame") return read_frame(text);
  if (kind == "page") return read_page(text);
  if (kind == "objects") return read_objects(text);
  const ReadBody read = reader_of(kind);
  if (read == nullptr) return invalid("a message of the unknown kind \"" + std::string(kind.substr(0, 64)) + "\"");
  if (text.size() > kMaximumTree)
    return invalid("a " + std::string(kind) + " of " + std::to_string(text.size()) + " bytes, above the limit of " +
                   std::to_string(kMaximumTree));
  boost::system::error_code error;
  json::parse_options options;
  options.max_depth = 16;  // Our own messages nest four deep.
  const json::value tree = json::parse({text.data(), text.size()}, error, {}, options);
  if (error || !tree.is_object()) return invalid("a " + std::string(kind) + " that is not a JSON object");
  Reader in(tree.get_object());
  Body body = read(in);
  if (!in.error().empty()) return invalid("a " + std::string(kind) + " in which " + in.error());
  return body;
}

}  // namespace tinf::wire
