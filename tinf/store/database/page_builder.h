// PageBuilder: a page out of rows, as of now or of an older version.
// An older version is read by undoing: a change holds what it replaced, so the first change of a place after a version
// says what was there.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "tinf/contract/fleet_store.h"

namespace tinf::database {

// A page that is read a slice at a time, so that a query that selects little holds neither a connection nor a
// transaction for long.
struct PageSoFar {
  FleetPage page;                   // Its `remaining`: of a whole, how many there are of all, until it is done.
  std::optional<FleetPlace> after;  // Where to look on.
  bool done = false;

  PageSoFar() = default;
  explicit PageSoFar(const FleetQuery& query) : after(query.after) {}

  // It is done where there is nowhere to look on.
  void end_slice();
};

// Where a page that goes on behind `from` begins in the copy of `cluster`: behind this key.
ObjectKey first_key(const FleetQuery& wanted, const std::optional<FleetPlace>& from, const std::string& cluster);

// Throws a Failure, Expired, where the log, which reaches back to `floor`, does not have `version` any more.
void check_retained(StoreVersion version, StoreVersion floor);

// What was at the places of one copy that have changed since the page's version; a null object: nothing.
class Undone {
 public:
  // In the order of versions: of a place the first counts. `previous`: what the change replaced, if anything.
  void add(const std::string& cluster, ObjectKey key, StoreVersion previous_version,
           std::optional<std::string_view> previous);

 private:
  friend class PageBuilder;
  std::map<ObjectKey, FleetObject> places_;
};

// Copy by copy, in the order of their clusters; of each, begin(), then meet() for every row, in key order, then end().
// `wanted` and `page` outlive it.
class PageBuilder {
 public:
  PageBuilder(const FleetQuery& wanted, FleetPage& page) : wanted_(wanted), page_(page) {}

  void begin(std::string cluster, Undone undone);
  // A row that is there now; no body: it tells that it is not wanted. False, also of end(): the page is full.
  bool meet(std::string_view namespace_name, std::string_view name, StoreVersion version,
            std::optional<std::string_view> body);
  bool end();

 private:
  bool take(FleetObject object);

  const FleetQuery& wanted_;
  FleetPage& page_;
  std::string cluster_;
  Undone undone_;
  std::map<ObjectKey, FleetObject>::iterator then_;
};

}  // namespace tinf::database
