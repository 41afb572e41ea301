// Truth: all that a cluster held of one resource, and when. Copies are held against it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tinf/base/backoff.h"
#include "tinf/base/clock.h"
#include "tinf/object/fingerprint.h"
#include "tinf/object/object.h"
#include "tinf/object/watch_event.h"

namespace tinf::simulation {

using Objects = std::map<ObjectKey, ObjectPtr>;

Fingerprint fingerprint_of(const Objects& objects);

ObjectPtr make_object(const ObjectKey& key, std::uint64_t uid, std::uint64_t version, std::size_t padding);

class Truth {
 public:
  // Something happens to one object, as a controller or a person makes it happen: it comes, changes, goes, or goes and
  // comes. Each step takes the next `version`. Returns what a watch tells of it.
  std::vector<WatchEvent> change(Random& random, std::uint64_t& version, TimePoint now);

  // The cluster is set back to what it held then.
  void set_back(const Objects& then, TimePoint now);

  const Objects& objects() const { return objects_; }
  const Fingerprint& fingerprint() const { return fingerprint_; }

  // Which state of its key a copy shows: the number of it in the cluster's order. 0: none yet.
  using Shown = std::map<ObjectKey, std::size_t>;
  // Whether a copy may go on to this state (null: gone): the one that it shows, or one that the cluster was in after
  // that. If so, `shown` moves there.
  bool leads_to(const ObjectKey& key, const Object* object, Shown& shown) const;

  // Whether the cluster held exactly this at any moment since `since`.
  bool was(const Fingerprint& fingerprint, TimePoint since) const;

 private:
  // What is held under `key` from now on; null: nothing.
  void hold(const ObjectKey& key, ObjectPtr object, TimePoint now);

  Objects objects_;
  Fingerprint fingerprint_;
  std::uint64_t last_uid_ = 0;                          // Never set back: no uid is given twice.
  std::map<ObjectKey, std::vector<EntryHash>> states_;  // Of each key in their order; zero: it is not there.
  std::map<Fingerprint, TimePoint> was_until_;
};

}  // namespace tinf::simulation
