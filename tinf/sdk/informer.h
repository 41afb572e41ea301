// Informer: a copy of one resource's objects, kept equal; handlers are told of changes, and anybody may read it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tinf/base/result.h"
#include "tinf/object/object.h"
#include "tinf/sdk/cluster.h"

namespace tinf::sdk {

// What is followed.
struct Query {
  std::string
      resource{};  // In kubectl's spelling: plural, singular, short name or kind, with .version.group if wanted.
  std::string namespace_name{};  // Empty: all.
  std::string label_selector{};
  std::string field_selector{};
  bool metadata_only = false;
};

// Empty functions are left out. They run one at a time on a thread of the cluster's own, and the copy already holds
// what they are told. They may read any informer and add to any queue; they must not wait for their own informer.
struct Handlers {
  std::function<void(const ObjectPtr& object, bool initial)> on_add;
  std::function<void(const ObjectPtr& old, const ObjectPtr& now)> on_update;  // A resync tells old == now.
  // `final_state_unknown`: nobody saw the delete itself; `last` is the state before.
  std::function<void(const ObjectPtr& last, bool final_state_unknown)> on_delete;
  std::function<void()> on_synced;  // Once, after the last initial add.
};

struct InformerOptions {
  std::chrono::milliseconds patience = std::chrono::seconds(30);  // For the server or provider to say what it has.
  // Cuts each object before it is stored, once per state; on the cluster's thread, so it must neither block nor call
  // the library. An object that it refuses, or throws for, stays as the copy has it: not at all if it is new.
  std::function<Result<ObjectPtr>(const ObjectPtr&)> transform{};
  // Begin with the server's latest set instead of what its cache has, which costs it more: for a controller that must
  // not act on a copy older than the writes of its former life. Nothing to a source behind a broker.
  bool begin_with_latest = false;
  // How the copy is kept. "memory:": as objects came. "memory:?compress=true": compressed, in a third of the memory;
  // each read makes the object anew (4 µs for one of 3 KiB). Slower changes and first sync: docs/performance.md. What
  // indexes and the program itself hold of it stays whole. Informers that share one copy have it as the first of them
  // asked.
  std::string store = "memory:";
};

class Informer;

// Keeps handlers subscribed. Once it is gone none of their functions runs (unless it is destroyed by one of them).
class [[nodiscard]] Registration {
 public:
  Registration();
  Registration(Registration&&) noexcept;
  Registration& operator=(Registration&&) noexcept;
  ~Registration();

 private:
  friend class Informer;
  struct State;
  explicit Registration(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// A handle: copies share one copy of the objects, which ends with the last of them. Thread-safe.
class Informer {
 public:
  // Finds the resource and begins to follow it. Waits at most `patience` for the server or provider to say what it has.
  // NotFound: it has no such resource (the message lists near ones). Unavailable: it could not be asked in time.
  // Invalid: a selector, or a store that there is not. Through one cluster behind a broker, informers of one query
  // share one copy and its indexes; AlreadyExists: one of them has a transform, and what the copy holds is not for the
  // others.
  static Result<Informer> open(const Cluster& cluster, const Query& query,
                               std::chrono::milliseconds patience = std::chrono::seconds(30));
  static Result<Informer> open(const Cluster& cluster, const Query& query, InformerOptions options);

  // At any time: what is present comes as initial adds first. `resync`: show everything again this often; zero: never.
  Result<Registration> add(Handlers handlers, std::chrono::milliseconds resync = std::chrono::milliseconds(0));

  // Waits for the first full set. The error names the scope and the reason, with the source's last words: Forbidden,
  // NotFound, Unavailable, Timeout.
  Result<void> wait_synced(std::chrono::milliseconds patience);
  bool synced() const;
  // The copy is whole, a watch is open, and behind a broker no gap is known: a question apart from synced().
  bool live() const;

  // Waits until the copy shows `answer`, a server's to a write, or what came after it. Timeout: also, behind a broker,
  // if it was deleted meanwhile. Invalid: its version is not decimal, and nothing can be said about which is later.
  Result<void> wait_until(const ObjectPtr& answer, std::chrono::milliseconds patience);

  // Keys that differ from the source's set, which is listed again for it; they are repaired at once. Empty: equal.
  // Timeout: the source has not answered. AlreadyExists: behind a broker, another informer follows the very set that
  // would be listed (metadata of full objects and the reverse), or the question is being answered already.
  Result<std::vector<ObjectKey>> verify(std::chrono::milliseconds patience);

  // Reading. Objects are immutable and stay as they were read.
  ObjectPtr get(const ObjectKey& key) const;                                // Null if there is none.
  std::vector<ObjectPtr> list(std::string_view namespace_name = "") const;  // In key order, as of one moment.
  // Invalid: not a label selector.
  Result<std::vector<ObjectPtr>> list_matching(const std::string& label_selector,
                                               std::string_view namespace_name = "") const;
  std::size_t size() const;

  // The values of one object; none, one or several, and none if it throws. Must give the same for the same object, and
  // must not call this library but for the object itself: it runs on the library's own thread.
  using IndexFunction = std::function<std::vector<std::string>(const Object&)>;
  // At any time. AlreadyExists: the name is taken.
  Result<void> add_index(std::string name, IndexFunction function);
  // NotFound: there is no such index; the message lists those there are.
  Result<std::vector<ObjectPtr>> by_index(std::string index, std::string value) const;

 private:
  friend class ClusterCore;
  friend class Controller;
  struct State;
  explicit Informer(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

}  // namespace tinf::sdk
