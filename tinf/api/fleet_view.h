// FleetView: a fleet's copies as one store that is read: of all clusters, under the fleet's names, or of one cluster,
// under its own. What the API's reading verbs stand on.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "tinf/api/fleet_form.h"
#include "tinf/contract/fleet_store.h"
#include "tinf/contract/versioned_store.h"

namespace tinf::api {

// Changes in the form of one kind of view, made once for all who watch at the same pace. Confined to one strand.
class FleetForms {
 public:
  explicit FleetForms(Naming naming) : naming_(naming) {}

  Naming naming() const { return naming_; }

  // An object of null: its bytes cannot be read any more. What they are repaired to is a change of its own.
  StoreChange of(const FleetChange& change, std::string_view reference);

 private:
  static constexpr std::size_t kMaximumBytes = 16u << 20;

  const Naming naming_;
  std::map<StoreVersion, StoreChange> made_;
  std::size_t bytes_ = 0;
};

// Objects are in the order of their places, not of their keys here: "c1-a.x" sorts before "c1.x", the cluster c1-a
// behind c1. Those whose bytes cannot be read any more are left out until they are repaired.
// Confined to the strand of `fleet`, which outlives it and its watches.
class FleetView final : public VersionedReader {
 public:
  // Which clusters may be seen; none: all. May be called on another thread, and is copied.
  using Shown = std::function<bool(const std::string& cluster)>;

  // `cluster` is empty for all that are `shown`.
  FleetView(FleetReader& fleet, std::shared_ptr<FleetForms> forms, std::string cluster, Shown shown = nullptr);

  Task<Result<ObjectPtr>> get(std::string collection, ObjectKey key) const override;
  Task<Result<Page>> list(std::string collection, PageQuery query) const override;
  Result<std::unique_ptr<VersionedWatch>> watch(std::string collection, StoreVersion from, PageQuery about) override;
  StoreVersion version() const override { return fleet_.version(); }
  Task<Result<void>> reach(StoreVersion version, TimePoint deadline) override {
    return fleet_.reach(version, deadline);
  }

 private:
  class Watch;

  std::optional<FleetPlace> place_of(const ObjectKey& key) const;
  // What the fleet is asked for; nothing: no object can match.
  Result<std::optional<FleetQuery>> fleet_query(std::string collection, const PageQuery& query) const;

  FleetReader& fleet_;
  const std::shared_ptr<FleetForms> forms_;
  const std::string cluster_;
  const Shown shown_;
};

}  // namespace tinf::api
