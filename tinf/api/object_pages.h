// ObjectPages: what a selection selects, read a part at a time and all as of one version, so that nobody who asks for
// everything makes the server hold it.
#pragma once

#include <vector>

#include "tinf/api/selection.h"
#include "tinf/contract/versioned_store.h"

namespace tinf::api {

inline constexpr std::size_t kObjectsAtOnce = 500;  // Of what is not bounded by who asks.

// Confined to the strand of `reader`, which outlives it.
class ObjectPages {
 public:
  // `query` is the selection's, with where to begin and as of when.
  ObjectPages(VersionedReader& reader, std::string collection, Selection selection, PageQuery query);

  // The next ones; fewer than `most` only at the end, which more() tells. 0: all.
  // Errors are VersionedReader::list()'s, as a Status.
  Task<Answer<std::vector<ObjectPtr>>> next(std::size_t most);

  bool more() const { return more_; }

  // Of what was read:
  StoreVersion version() const { return query_.version.value_or(0); }
  const ObjectKey& last() const { return *query_.after; }               // While there are more.
  std::optional<std::size_t> remaining() const { return remaining_; }   // How many more, where that is known.
  std::size_t of_other_versions() const { return of_other_versions_; }  // Left out, as is_of_version() says.
  const ResourceType& type() const { return selection_.type(); }

 private:
  VersionedReader& reader_;
  const std::string collection_;
  const Selection selection_;
  PageQuery query_;
  bool more_ = true;
  std::optional<std::size_t> remaining_;
  std::size_t of_other_versions_ = 0;
};

}  // namespace tinf::api
