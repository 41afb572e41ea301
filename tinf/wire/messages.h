// The messages of the protocol, version 1, as plain values. docs/protocol.md says what each is for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "tinf/object/fingerprint.h"
#include "tinf/object/inventory.h"
#include "tinf/object/resource.h"
#include "tinf/object/splice.h"
#include "tinf/object/watch_event.h"

namespace tinf::wire {

inline constexpr int kVersion = 1;

// Where an informer's copy of a scope stands: everything up to `sequence` of the stream's life `epoch`.
struct Position {
  std::string epoch;  // Empty: nothing yet.
  std::uint64_t sequence = 0;

  auto operator<=>(const Position&) const = default;
};

// Informer to provider: follow this scope for me.
struct Watch {
  std::string client;
  Scope scope;
  Position have;
  std::optional<Fingerprint> inventory;  // Of the copy that is to be repaired by ranges; nothing: send the whole set.
  std::uint32_t lease_seconds = 0;
  std::uint32_t window = 0;  // Pages that may be under way at once.
  std::uint64_t request =
      0;                 // Echoed by what answers, so that an answer to an earlier question is known for what it is.
  bool patches = false;  // The informer can apply them: it has at hand what it was sent before.
};

// Informer to provider: I still follow these.
struct Renew {
  std::string client;
  std::vector<std::string> scopes;  // Ids.
};

// Informer to provider: I follow these no more.
struct Unwatch {
  std::string client;
  std::vector<std::string> scopes;
};

// Informer to provider: send these pages, or these objects, of a snapshot, for the first time or again.
struct Fetch {
  std::string client;
  std::string scope;
  std::string snapshot;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> pages;  // First and one past the last.
  std::vector<ObjectKey> keys;
};

// Informer to provider: what do these ranges of a snapshot hold? My copy differs there.
struct Compare {
  std::string client;
  std::string scope;
  std::string snapshot;
  std::vector<KeyRange> ranges;
};

// Informer to all providers, or one: say your presence again.
struct Hello {
  std::string client;
};

// A new state of an object, told by what differs from an earlier one.
struct Patch {
  std::uint64_t base = 0;  // The low half of the hash of the earlier state: to no other bytes may it be applied.
  std::vector<Splice> splices;
};

// Provider to every informer of a scope (on its stream), or to one that resumes (on its reply topic): what changed.
// Of a key that changed several times only the last change is there; where that one lies beyond `through`, the key is
// missing; a later frame, which leads to `head` at the latest, has it.
struct Frame {
  std::string scope;
  std::string epoch;
  std::uint64_t after = 0;               // The frame continues a copy that stands here, or later.
  std::uint64_t through = 0;             // And brings it here.
  std::uint64_t head = 0;                // Where the stream stood when the frame was made: `through` or later.
  std::vector<WatchEvent> events;        // A put is Modified here: what it is for the receiver, its store tells.
  std::vector<std::uint64_t> sequences;  // Of each event, rising, in (after, through].
  std::vector<Patch> patches;            // Of each event that is no delete and has no object, in their order.
};

// Provider to one informer: a part of the whole set as of a position.
struct Page {
  std::string scope;
  std::string snapshot;
  Position at;
  std::uint32_t number = 0;
  bool last = false;
  std::uint64_t total = 0;  // Objects in all pages.
  Fingerprint fingerprint;  // Of all pages.
  std::uint64_t request = 0;
  std::uint32_t behind_seconds = 0;  // As in a digest.
  std::vector<ObjectPtr> objects;
};

// Provider to one informer: what ranges of a snapshot hold. The first one answers a watch that names an inventory, each
// other one a compare. Hashes and sums are the lower 64 bits of EntryHash and Fingerprint: enough to find what differs;
// that nothing was overlooked is proven by the whole fingerprint.
struct Ranges {
  std::string scope;
  std::string snapshot;
  Position at;
  Fingerprint fingerprint;           // Of the whole snapshot.
  std::uint64_t request = 0;         // Of the watch.
  std::uint32_t behind_seconds = 0;  // As in a digest.
  struct Piece {
    ObjectKey to;  // Begins where the one before it ends; the last one ends where the range does.
    std::uint64_t count = 0;
    std::uint64_t sum = 0;
  };
  struct Entry {
    ObjectKey key;
    std::uint64_t hash = 0;
  };
  struct Range {
    KeyRange range;
    std::vector<Piece> pieces;   // Either these,
    std::vector<Entry> entries;  // or, without pieces, all that is there.
  };
  std::vector<Range> ranges;
};

// Provider to one informer: the objects that it fetched by key. Those that the snapshot does not have are left out.
struct Objects {
  std::string scope;
  std::string snapshot;
  std::vector<ObjectPtr> objects;
};

// Provider to one informer: instead of, or before, objects.
struct Notice {
  enum class Kind : std::uint8_t {
    Resumed,   // Frames up to `at` follow on the reply topic; none if the copy stands there already.
    Equal,     // The copy whose inventory was named is the provider's set at `at`: frames lead on from there.
    NotReady,  // The provider has no full set yet; pages follow when it has.
    Unknown,   // A lease ran out or the provider restarted: ask again.
    Refused,   // See code and message.
  };
  Kind kind = Kind::Unknown;
  std::string scope;
  Position at;
  Code code = Code::Internal;
  std::string message;
  std::uint64_t request = 0;
  std::uint32_t behind_seconds = 0;  // Of Equal, as in a digest.
};

// Provider to all: where streams stand, and what a copy that stands there must look like. One that names none says that
// all are where the digests up to its number have named them, and that the provider follows its API server.
struct Digest {
  struct Stream {
    std::string scope;
    Position at;
    Fingerprint fingerprint;
    std::string resource_version;      // The API server's, for display.
    std::uint32_t behind_seconds = 0;  // How long the provider has been without an open watch; 0: it has one.
  };
  std::uint32_t interval_seconds = 0;  // When the next one comes at the latest.
  std::vector<Stream> streams;
  std::uint64_t number = 0;  // Of those that name streams, by which who has missed one knows it; else the last one's.
};

// Provider to all, retained: who it is and what it offers. Its last will has `state` Lost.
struct Presence {
  enum class State : std::uint8_t { Present, Lost };
  State state = State::Present;
  std::string cluster;
  std::string instance;      // A random id of this process.
  std::string host;          // For people: where the process runs.
  std::int64_t started = 0;  // Unix milliseconds; of two that claim a name the younger stays.
  std::vector<int> versions{kVersion};
  std::string cluster_uid;  // The uid of the namespace kube-system, if known.
  std::string kubernetes;   // The API server's version.
  std::vector<ResourceInfo> resources;
};

// Informer, retained on <signal>/_client/<client>: who uses this client id.
struct ClientRecord {
  std::string client;
  std::string instance;
  std::string host;
  std::int64_t started = 0;
};

using Body = std::variant<Watch, Renew, Unwatch, Fetch, Compare, Hello, Frame, Page, Ranges, Objects, Notice, Digest,
                          Presence, ClientRecord>;

}  // namespace tinf::wire
