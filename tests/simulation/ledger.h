// Stores of a simulated system, and the ledger through which they are written: each state is held against the truth.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "tests/simulation/disk.h"
#include "tests/simulation/truth.h"

namespace tinf::simulation {

constexpr double kFaulty = 0.05;  // The share of what a fault spoils, where it does not spoil all.

// A store, which may outlive its informer, and which state of each object it shows.
struct Shelf {
  std::shared_ptr<Disk> disk;    // Null: it is in memory.
  std::unique_ptr<Store> store;  // Goes before its disk. Null between two processes, on a disk.
  Truth::Shown shown;
  Duration takes{};           // Up to so long for each write, as on a disk.
  TimePoint refuses_until{};  // A full one.
};

// Writes into a store and holds each state against the truth.
class Ledger final : public StoreWriter {
 public:
  Ledger(Clock& clock, Random& random, Shelf& shelf, const Truth& truth,
         std::function<void(const std::string&)> violation, bool drops)
      : clock_(clock), random_(random), shelf_(shelf), truth_(truth), violation_(std::move(violation)), drops_(drops) {}

  Task<Result<void>> replace(Snapshot all) override;
  Task<Result<void>> apply(EventBatch changes) override;

 private:
  void check(const ObjectKey& key, const Object* object);

  Task<std::optional<Error>> refusal();

  Clock& clock_;
  Random& random_;
  Shelf& shelf_;
  const Truth& truth_;
  const std::function<void(const std::string&)> violation_;
  const bool drops_;
};

}  // namespace tinf::simulation
