#include "tinf/store/postgres/draft.h"

#include <algorithm>
#include <map>

namespace tinf::postgres {
namespace {

constexpr std::size_t kLookedUpTogether = 2000;  // Rows, of which a statement tells what is stored.
constexpr std::int64_t kReadTogether = 1000;     // Rows with their bodies.

using KeyView = std::pair<std::string_view, std::string_view>;

KeyView key_of(const Object& object) {
  return {object.namespace_name(), object.name()};
}

// What is stored at a key.
struct Held {
  std::string uid;
  EntryHash hash;
  std::uint64_t bytes = 0;
  bool has_body = false;  // It was asked for, as the hashes were equal.
  std::string body;
};

EntryHash hash_of(const Rows& rows, int row, int column) {
  return EntryHash{static_cast<std::uint64_t>(rows.number(row, column)),
                   static_cast<std::uint64_t>(rows.number(row, column + 1))};
}

void add_written(Draft& draft, const Object& object, const EntryHash* replaced, bool is_another, std::uint64_t bytes) {
  if (replaced != nullptr) draft.after.fingerprint.remove(*replaced);
  draft.after.fingerprint.add(object.hash());
  draft.written.push_back(Written{&object, replaced == nullptr, is_another, bytes});
}

void add_removed(Draft& draft, ObjectKey key, const EntryHash& hash, std::uint64_t bytes) {
  draft.after.fingerprint.remove(hash);
  draft.removed.push_back(Removed{std::move(key), bytes});
}

// Walks over all that a copy holds, in key order; `meet` has a row whose columns are those of the statement.
template <class Meet>
void walk(Connection& connection, std::int64_t scope, Meet meet) {
  ObjectKey after;
  while (true) {
    Values values;
    values.add(scope).add(after.namespace_name).add(after.name).add(kReadTogether);
    const Rows rows = connection.run(
        "SELECT namespace, name, uid, hash_high, hash_low, octet_length(body)::bigint, body FROM object"
        " WHERE scope = $1 AND (namespace, name) > ($2, $3) ORDER BY namespace, name LIMIT $4",
        values);
    for (int row = 0; row < rows.size(); ++row) meet(rows, row);
    if (rows.size() < kReadTogether) return;
    after = ObjectKey{rows.string(rows.size() - 1, 0), rows.string(rows.size() - 1, 1)};
  }
}

void compare_set(Connection& connection, Draft& draft) {
  const CopyChange& change = *draft.change;
  auto next = change.objects.begin();
  const auto add_up_to = [&](const KeyView* key) {
    for (; next != change.objects.end() && (key == nullptr || key_of(**next) < *key); ++next)
      add_written(draft, **next, nullptr, false, 0);
  };
  const auto meet = [&](const Rows& rows, int row) {
    const KeyView key(rows.text(row, 0), rows.text(row, 1));
    const EntryHash hash = hash_of(rows, row, 3);
    const auto bytes = static_cast<std::uint64_t>(rows.number(row, 5));
    add_up_to(&key);
    if (next == change.objects.end() || key_of(**next) != key)
      return add_removed(draft, ObjectKey{std::string(key.first), std::string(key.second)}, hash, bytes);
    const Object& object = **next++;
    if (hash == object.hash() && rows.text(row, 6) == object.raw()) return;
    add_written(draft, object, &hash, rows.text(row, 2) != fitting(object.uid()), bytes);
  };
  if (draft.before.row != 0) walk(connection, draft.before.row, meet);
  add_up_to(nullptr);
  // Counted anew: somebody may have altered rows behind our back.
  draft.after.fingerprint = Fingerprint();
  for (const ObjectPtr& object : change.objects) draft.after.fingerprint.add(object->hash());
}

void empty(Connection& connection, Draft& draft) {
  const CopyChange& change = *draft.change;
  if (change.only_if_empty && draft.before.fingerprint.count > 0) {
    throw Failure{Error(Code::Conflict, "the copy of " + change.copy->collection() + " of " + change.copy->cluster() +
                                            " is not empty, and stays"),
                  false};
  }
  if (draft.before.row != 0) {
    walk(connection, draft.before.row, [&](const Rows& rows, int row) {
      add_removed(draft, ObjectKey{rows.string(row, 0), rows.string(row, 1)}, hash_of(rows, row, 3),
                  static_cast<std::uint64_t>(rows.number(row, 5)));
    });
  }
  // The row stays, as the log refers to it.
  draft.after.fingerprint = Fingerprint();
  draft.after.position.clear();
}

// What becomes of one key by the events of a batch, played in their order.
struct Played {
  const Object* last = nullptr;  // The last object that events bring, whatever comes after it.
  std::optional<Held> held;
  bool is_there = false;
  std::string uid;
  const Object* object = nullptr;  // Null: what is held.
};

class EventPlayer {
 public:
  explicit EventPlayer(Draft& draft) : draft_(draft) {
    for (const WatchEvent& event : draft.change->events) {
      Played& key = keys_[key_of(event)];
      if (event.type != EventType::Deleted) key.last = event.object.get();
    }
  }

  // What has a body of its own hash already is told with it: only the bytes tell whether it was altered.
  void ask(Connection& connection) {
    if (draft_.before.row == 0) return;
    for (auto at = keys_.begin(); at != keys_.end();) {
      Array namespaces = texts(), names = texts(), high = numbers(), low = numbers();
      asked_.emplace_back();
      for (; at != keys_.end() && asked_.back().size() < kLookedUpTogether; ++at) {
        namespaces.add(at->first.first);
        names.add(at->first.second);
        high.add(at->second.last == nullptr ? std::uint64_t(0) : at->second.last->hash().high);
        low.add(at->second.last == nullptr ? std::uint64_t(0) : at->second.last->hash().low);
        asked_.back().push_back(&at->second);
      }
      Values values;
      values.add(draft_.before.row).add(std::move(namespaces)).add(std::move(names));
      values.add(std::move(high)).add(std::move(low));
      connection.send(
          "SELECT k.i, o.uid, o.hash_high, o.hash_low, octet_length(o.body)::bigint,"
          " CASE WHEN o.hash_high = k.high AND o.hash_low = k.low THEN o.body END"
          " FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[]) WITH ORDINALITY"
          " AS k(namespace, name, high, low, i)"
          " JOIN object o ON o.scope = $1 AND o.namespace = k.namespace AND o.name = k.name",
          values);
    }
  }

  void hear(Connection& connection) {
    for (const auto& part : asked_) {
      const Rows rows = connection.receive();
      for (int row = 0; row < rows.size(); ++row) {
        Played& key = *part.at(static_cast<std::size_t>(rows.number(row, 0)) - 1);
        Held& held = key.held.emplace();
        held.uid = rows.string(row, 1);
        held.hash = hash_of(rows, row, 2);
        held.bytes = static_cast<std::uint64_t>(rows.number(row, 4));
        held.has_body = !rows.null(row, 5);
        held.body = rows.string(row, 5);
        key.is_there = true;
        key.uid = held.uid;
      }
    }
  }

  void play() {
    for (const WatchEvent& event : draft_.change->events) {
      Played& key = keys_.at(key_of(event));
      if (event.type != EventType::Deleted) {
        key.is_there = true;
        key.object = event.object.get();
        key.uid = fitting(key.object->uid());
      } else if (key.is_there && (event.uid.empty() || key.uid == fitting(event.uid))) {
        key.is_there = false;
        key.object = nullptr;
      }
    }
    for (const auto& [at, key] : keys_) {
      if (key.held && !key.is_there) {
        add_removed(draft_, ObjectKey{std::string(at.first), std::string(at.second)}, key.held->hash, key.held->bytes);
      } else if (!key.held && key.is_there) {
        add_written(draft_, *key.object, nullptr, false, 0);
      } else if (key.held && key.object != nullptr && !is_equal(*key.held, *key.object)) {
        add_written(draft_, *key.object, &key.held->hash, key.held->uid != key.uid, key.held->bytes);
      }
    }
  }

 private:
  static KeyView key_of(const WatchEvent& event) {
    return event.type == EventType::Deleted ? KeyView(event.key.namespace_name, event.key.name)
                                            : postgres::key_of(*event.object);
  }
  static bool is_equal(const Held& held, const Object& object) {
    return held.hash == object.hash() && held.has_body && held.body == object.raw();
  }

  Draft& draft_;
  std::map<KeyView, Played> keys_;
  std::vector<std::vector<Played*>> asked_;
};

// Rows of `scope` for copies that have none, and what stands in those of which we are not sure.
void ask_state(Connection& connection, const CopyChange& change) {
  Values name;
  name.add(change.copy->cluster()).add(change.copy->collection());
  Values made = name;
  made.add(change.scope.resource.group).add(change.scope.resource.version).add(change.scope.resource.name);
  connection.send_quietly(
      "INSERT INTO scope(cluster, collection, api_group, api_version, resource)"
      " SELECT c.id, $2, $3, $4, $5 FROM cluster c WHERE c.name = $1"
      " AND NOT EXISTS (SELECT FROM scope s WHERE s.cluster = c.id AND s.collection = $2) ON CONFLICT DO NOTHING",
      made);
  connection.send(
      "SELECT s.id, s.api_group, s.api_version, s.resource, s.wanted, s.position, s.count, s.sum_high, s.sum_low"
      " FROM scope s JOIN cluster c ON c.id = s.cluster WHERE c.name = $1 AND s.collection = $2",
      name);
}

// Who altered rows behind our back has altered what they come to.
void count_anew(Connection& connection, Draft& draft) {
  Values scope;
  scope.add(draft.before.row);
  const Rows rows = connection.run("SELECT hash_high, hash_low FROM object WHERE scope = $1", scope);
  draft.after.fingerprint = Fingerprint();
  for (int row = 0; row < rows.size(); ++row) draft.after.fingerprint.add(hash_of(rows, row, 0));
}

void learn_states(Connection& connection, std::vector<Draft>& drafts) {
  std::vector<Draft*> unsure;
  for (Draft& draft : drafts) {
    CopyChange& change = *draft.change;
    draft.before = change.copy->state();
    const bool forgets = change.kind == CopyChange::Kind::Forget;
    if (!change.copy->was_uncertain() && (draft.before.row != 0 || forgets)) continue;
    ask_state(connection, change);
    unsure.push_back(&draft);
  }
  for (Draft* draft : unsure) {
    const Rows rows = connection.receive();
    if (rows.size() > 0) draft->before = copy_state_of(rows, 0, 0);
  }
  connection.finish();
}

}  // namespace

std::string fitting(std::string_view text) {
  std::string out(text);
  std::erase(out, '\0');
  return out;
}

bool is_indexed_owner(std::string_view uid) {
  constexpr std::size_t kLongest = 256;
  const auto holds = [uid](char c) { return uid.find(c) != std::string_view::npos; };
  return !uid.empty() && uid.size() <= kLongest && !holds('\0') && !holds(kBetweenOwners);
}

CopyState copy_state_of(const Rows& rows, int row, int first) {
  CopyState state;
  state.row = rows.number(row, first);
  state.resource = Resource{rows.string(row, first + 1), rows.string(row, first + 2), rows.string(row, first + 3)};
  state.wanted = rows.string(row, first + 4);
  state.position = rows.string(row, first + 5);
  state.fingerprint.count = static_cast<std::uint64_t>(rows.number(row, first + 6));
  state.fingerprint.high = static_cast<std::uint64_t>(rows.number(row, first + 7));
  state.fingerprint.low = static_cast<std::uint64_t>(rows.number(row, first + 8));
  return state;
}

std::uint64_t Draft::versions() const {
  std::uint64_t versions = removed.size() + written.size();
  for (const Written& one : written) versions += one.is_another ? 1 : 0;
  return versions;
}

std::uint64_t Draft::replaced_bytes() const {
  std::uint64_t bytes = 0;
  for (const Written& one : written) bytes += one.replaced_bytes;
  for (const Removed& one : removed) bytes += one.bytes;
  return bytes;
}

bool Draft::is_listed_anew() const {
  return before.is_there() != after.is_there() || (after.is_there() && before.resource != after.resource);
}

std::vector<Draft> make_drafts(Connection& connection, const std::vector<CopyChange*>& changes) {
  std::vector<Draft> drafts(changes.size());
  for (std::size_t i = 0; i < changes.size(); ++i) drafts[i].change = changes[i];
  learn_states(connection, drafts);
  std::vector<std::pair<Draft*, EventPlayer>> players;
  for (Draft& draft : drafts) {
    draft.after = draft.before;
    if (draft.change->kind != CopyChange::Kind::Apply) continue;
    draft.change->counts_anew = draft.change->copy->was_doubted();
    if (draft.change->counts_anew) count_anew(connection, draft);
  }
  for (Draft& draft : drafts) {
    if (draft.change->kind == CopyChange::Kind::Apply) {
      players.emplace_back(&draft, EventPlayer(draft));
      players.back().second.ask(connection);
    }
  }
  for (auto& [draft, player] : players) {
    player.hear(connection);
    player.play();
  }
  connection.finish();
  for (Draft& draft : drafts) {
    if (draft.change->kind == CopyChange::Kind::Replace) compare_set(connection, draft);
    if (draft.change->kind == CopyChange::Kind::Forget) empty(connection, draft);
    if (draft.change->kind != CopyChange::Kind::Forget)
      draft.after.stand_at(draft.change->scope, draft.change->version);
  }
  return drafts;
}

}  // namespace tinf::postgres
