// The messages of the protocol, version 1, as plain values. docs/protocol.md says what each is for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "tinf/object/fingerprint.h"
#include "tinf/object/resource.h"
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
  std::optional<Fingerprint> inventory;  // Of the copy kept, where there is one.
  std::uint32_t lease_seconds = 0;
  std::uint32_t window = 0;  // Pages that may be under way at once.
  std::uint64_t request =
      0;  // Echoed by what answers, so that an answer to an earlier question is known for what it is.
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

// Informer to provider: send these pages, for the first time or again.
struct Fetch {
  std::string client;
  std::string scope;
  std::string snapshot;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> pages;  // First and one past the last.
};

// Informer to all providers, or one: say your presence again.
struct Hello {
  std::string client;
};

// Provider to every informer of a scope (on its stream), or to one that resumes (on its reply topic): what changed.
// Of a key that changed several times only the last change is there; where that one lies beyond `through`, the key is
// missing and the frame is not exact.
struct Frame {
  std::string scope;
  std::string epoch;
  std::uint64_t after = 0;         // The frame continues a copy that stands here, or later.
  std::uint64_t through = 0;       // And brings it here.
  bool exact = true;               // The copy then equals the provider's at `through`; else a later frame makes it so.
  std::vector<WatchEvent> events;  // A put is Modified here: what it is for the receiver, its store tells.
  std::vector<std::uint64_t> sequences;  // Of each event, rising, in (after, through].
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

// Provider to one informer: instead of, or before, objects.
struct Notice {
  enum class Kind : std::uint8_t {
    Resumed,   // Frames up to `at` follow on the reply topic; none if the copy stands there already.
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
};

// Provider to all: where each stream stands, and what a copy that stands there must look like.
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

// Ranges of the inventory with their fingerprints, for repair at the price of the difference. In the grammar already;
// this version sends none and answers one with Refused.
struct Ranges {
  std::string client;
  std::string scope;
  Position at;
  struct Range {
    std::string from;  // "namespace/name", inclusive; empty: from the start.
    std::string to;    // Exclusive; empty: to the end.
    Fingerprint fingerprint;
  };
  std::vector<Range> ranges;
};

using Body =
    std::variant<Watch, Renew, Unwatch, Fetch, Hello, Frame, Page, Notice, Digest, Presence, ClientRecord, Ranges>;

}  // namespace tinf::wire
