#include "tests/simulation/disk.h"

#include <stdexcept>

#include "tinf/store/sqlite/connection.h"
#include "tinf/store/sqlite/sqlite_fleet_store.h"

namespace tinf::simulation {

class Disk::Copy final : public Store {
 public:
  Copy(testing::RealTime& loop, std::unique_ptr<Store> copy) : loop_(loop), copy_(std::move(copy)) {}

  Result<ObjectPtr> get(const ObjectKey& key) const override { return copy_->get(key); }
  Result<std::vector<ObjectPtr>> list(std::string_view namespace_name) const override {
    return copy_->list(namespace_name);
  }
  std::size_t size() const override { return copy_->size(); }
  Fingerprint fingerprint() const override { return copy_->fingerprint(); }
  Result<std::vector<InventoryEntry>> measure(const ObjectKey& from, std::size_t limit) const override {
    return copy_->measure(from, limit);
  }
  ResourceVersion version() const override { return copy_->version(); }
  std::size_t memory_bytes() const override { return copy_->memory_bytes(); }

  Task<Result<void>> replace(Snapshot all) override { co_return loop_.await(copy_->replace(std::move(all))); }
  Task<Result<void>> apply(EventBatch changes) override { co_return loop_.await(copy_->apply(std::move(changes))); }

 private:
  testing::RealTime& loop_;
  const std::unique_ptr<Store> copy_;
};

Disk::Disk() {
  open_again();
}

void Disk::open_again() {
  fleet_ = nullptr;
  auto opened = open_sqlite_fleet_store(loop_.runtime(), folder_.file());
  if (!opened) throw std::runtime_error(opened.error().message);
  fleet_ = std::move(*opened);
}

std::unique_ptr<Store> Disk::open(const std::string& cluster, const Scope& scope) {
  auto copy = fleet_->open(cluster, scope);
  if (!copy) throw std::runtime_error(copy.error().message);
  return std::make_unique<Copy>(loop_, std::move(*copy));
}

std::string Disk::flip(const std::string& cluster, const Resource& resource, const Object& victim) {
  std::string body(victim.raw());
  body[body.size() - 2] ^= 1;
  sqlite::Connection file(folder_.file(), sqlite::Connection::Mode::ReadWrite);
  file.query(
          "UPDATE object SET body = ? WHERE namespace = ? AND name = ? AND scope = (SELECT s.id FROM scope s"
          " JOIN cluster c ON c.id = s.cluster WHERE c.name = ? AND s.collection = ?)")
      .bind(body)
      .bind(victim.namespace_name())
      .bind(victim.name())
      .bind(cluster)
      .bind(resource.group_resource())
      .run();
  return body;
}

}  // namespace tinf::simulation
