// ObjectPages: what a selection selects, read a part at a time and all as of one version, so that nobody who asks for
// everything makes the server hold it.
#pragma once

#include <memory>
#include <vector>

#include "tinf/api/selection.h"
#include "tinf/contract/versioned_store.h"

namespace tinf::api {

// Of what is not bounded by who asks.
inline constexpr std::size_t kObjectsAtOnce = 500;
inline constexpr std::size_t kBytesAtOnce = 8 * 1024 * 1024;
// Of a watch's first objects, which wait until a client takes them.
inline constexpr std::size_t kWatchBytesAtOnce = 256 * 1024;
// Of a page that is bounded by who asks: it ends there, and the next one begins.
inline constexpr std::size_t kPageBytes = 16 * 1024 * 1024;

using ReaderPtr = std::shared_ptr<VersionedReader>;  // Perhaps of somebody who outlives it all.

// Confined to the strand of `reader`.
class ObjectPages {
 public:
  // `query` is the selection's, with where to begin and as of when; `remaining`, how many there are behind that, if it
  // is known.
  ObjectPages(ReaderPtr reader, std::string collection, Selection selection, PageQuery query,
              std::optional<std::size_t> remaining = std::nullopt);

  // The next ones; fewer than `most` only at the end, which more() tells, or when they reach `most_bytes`. 0: all.
  // Errors are VersionedReader::list()'s, as a Status.
  Task<Answer<std::vector<ObjectPtr>>> next(std::size_t most, std::size_t most_bytes = 0);
  // As many as are held at once.
  Task<Answer<std::vector<ObjectPtr>>> next_part() { return next(kObjectsAtOnce, kBytesAtOnce); }

  bool more() const { return more_; }

  // Of what was read:
  StoreVersion version() const { return query_.version.value_or(0); }
  const ObjectKey& last() const { return *query_.after; }               // While there are more.
  std::optional<std::size_t> remaining() const { return remaining_; }   // How many more, about, where that is known.
  std::size_t of_other_versions() const { return of_other_versions_; }  // Left out, as is_of_version() says.
  const ResourceType& type() const { return selection_.type(); }
  bool selects_some() const { return selection_.selects_some(); }

 private:
  std::size_t to_read(std::size_t objects, std::size_t bytes) const;

  const ReaderPtr reader_;
  const std::string collection_;
  const Selection selection_;
  PageQuery query_;
  bool more_ = true;
  std::optional<std::size_t> remaining_;
  std::size_t of_other_versions_ = 0;
  std::size_t looked_at_ = 0;
  std::size_t bytes_looked_at_ = 0;
};

}  // namespace tinf::api
