// MemoryStore: objects in a tree ordered by key, beside a fingerprint that is kept up change by change.
// The embedded default of every daemon, and the fake of every test: there is no mock beside it. CompressedMemoryStore
// is the same with another form of the objects in it.
#pragma once

#include <set>
#include <shared_mutex>
#include <type_traits>
#include <unordered_set>

#include "tinf/contract/store.h"
#include "tinf/store/memory/journal.h"
#include "tinf/store/memory/packed_form.h"
#include "tinf/store/memory/plain_form.h"

namespace tinf {

// Guarantees what StoreReader and StoreWriter say; a batch and a replace() appear to readers as one step.
// Keys are views into the objects held, so an entry costs 64 bytes beside its object (kOverheadBytes).
// Reading is thread-safe and waits at most for a writer that changes the tree; it never waits for parsing, packing or
// freeing. Writing is done by one strand.
//
// `Form` is how an object is held: PlainForm (as it came) or PackedForm (compressed). It says
//   Held                           what stands in the tree; copied under the lock, and read without it
//   learn(object), learnt()        each object that is new, before any of them is held
//   hold(object)                   into the form
//   read(held), read_all(held)     out of it, one or many
//   key, hash, equals, measure, has_uid, bytes    of what is held; `measure` is the hash, anew
//   kPacks                         whether it is another form than objects come in: then it is found by a hash, which
//                                  takes 40 bytes an object more, and says
//   improves(), better(held)       whether, by what was learnt since, some may be held better, and how
template <class Form>
class BasicMemoryStore final : public JournaledStore {
 public:
  explicit BasicMemoryStore(Form form = Form()) : form_(std::move(form)) {}
  BasicMemoryStore(const BasicMemoryStore&) = delete;
  BasicMemoryStore& operator=(const BasicMemoryStore&) = delete;

  using StoreReader::list;
  Result<ObjectPtr> get(const ObjectKey& key) const override;
  Result<std::vector<ObjectPtr>> list(std::string_view namespace_name) const override;
  std::size_t size() const override;
  Fingerprint fingerprint() const override;
  Result<std::vector<InventoryEntry>> measure(const ObjectKey& from, std::size_t limit) const override;
  ResourceVersion version() const override;

  // Invalid: an object is null, or an event that adds or modifies carries none. Nothing is changed then.
  Task<Result<void>> replace(Snapshot all) override;
  Task<Result<void>> apply(EventBatch changes) override;

  void tell(Journal& journal) override { journal_ = &journal; }
  Journal::State state(const ObjectKey& key) const override;
  std::vector<Journal::State> states(const ObjectKey& after, std::string_view namespace_name,
                                     std::size_t limit) const override;

  // Objects and tree together: bytes. Objects that others share count in full; dictionaries, which stores may share, do
  // not (ObjectPacker::memory_bytes()).
  std::size_t memory_bytes() const override;

  // Tree node of 32 bytes, what holds the object, its version and malloc's header, as glibc rounds them; and what finds
  // it.
  static constexpr std::size_t kOverheadBytes = Form::kPacks ? 120 : 64;

 private:
  friend struct StoreBreaker;  // A test's: it alters what is held.
  using Held = typename Form::Held;
  struct Entry {
    Entry(Held h, StoreVersion v) : held(std::move(h)), version(v) {}

    // Replaced in place by a later state of the same key: the order of the tree stands.
    mutable Held held;
    mutable StoreVersion version;  // That a journal gave it; 0 without one.
  };
  struct ByKey {
    using is_transparent = void;
    static KeyView key(const Entry& e) { return Form::key(e.held); }
    static KeyView key(const ObjectPtr& o) { return {o->namespace_name(), o->name()}; }
    static KeyView key(const KeyView& k) { return k; }
    template <class A, class B>
    bool operator()(const A& a, const B& b) const {
      return key(a) < key(b);
    }
  };
  using Entries = std::set<Entry, ByKey>;
  // Beside the tree, for forms that take so long to read that finding must not.
  struct OfKey {
    using is_transparent = void;
    static KeyView key(const Entry* e) { return Form::key(e->held); }
    static KeyView key(const KeyView& k) { return k; }
    template <class A>
    std::size_t operator()(const A& a) const {
      const std::hash<std::string_view> hash;
      return hash(key(a).name) + 31 * hash(key(a).namespace_name);
    }
    template <class A, class B>
    bool operator()(const A& a, const B& b) const {
      return key(a) == key(b);
    }
  };
  struct NoIndex {};
  // What is to be done with the tree, found without its lock. Each key occurs once.
  struct Edit {
    struct Change {
      Change(typename Entries::const_iterator where, ObjectPtr object) : at(where), fresh(std::move(object)) {}
      typename Entries::const_iterator at;  // The entry to change, or the one to stand before.
      ObjectPtr fresh;
      Held held;
      StoreVersion version = 0;
    };
    std::vector<Change> added;  // In key order, as the others.
    std::vector<Change> changed;
    std::vector<typename Entries::const_iterator> leaving;
  };
  using Index = std::conditional_t<Form::kPacks, std::unordered_set<const Entry*, OfKey, OfKey>, NoIndex>;

  const Entry* find(KeyView key) const;

  // All under the writer's lock. What leaves is put into `gone`, to be freed when the lock is.
  void put(typename Entries::const_iterator at, Held fresh, StoreVersion version, std::vector<Held>& gone);
  void insert(typename Entries::const_iterator hint, Held fresh, StoreVersion version);
  void erase(typename Entries::const_iterator at, std::vector<Held>& gone);

  void note(Edit& edit);
  void carry_out(Edit edit, ResourceVersion version);
  void hold_better();

  Journal* journal_ = nullptr;

  mutable std::shared_mutex mutex_;
  Form form_;
  Entries entries_;
  [[no_unique_address]] Index index_;
  Fingerprint fingerprint_;
  ResourceVersion version_;
  std::size_t object_bytes_ = 0;
};

extern template class BasicMemoryStore<PlainForm>;
extern template class BasicMemoryStore<PackedForm>;

using MemoryStore = BasicMemoryStore<PlainForm>;

// The same in a third of the memory and less: reading makes an object anew, some 4 µs for one of 3 KiB. Slower changes
// and first sync: docs/performance.md. An object whose packed bytes were altered can no longer be read (StoreReader
// says what is read then); handlers are told of a delete and an add once it is repaired.
using CompressedMemoryStore = BasicMemoryStore<PackedForm>;

}  // namespace tinf
