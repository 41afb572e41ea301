#include "tinf/wiring/stores.h"

#include "tinf/store/memory/memory_store.h"

namespace tinf::wiring {

Result<void> check_store(const std::string& name) {
  const auto stores = Stores::of(name);
  if (!stores) return stores.error();
  return Result<void>();
}

Result<Stores> Stores::of(const std::string& name) {
  if (name == kDefaultStore) return Stores(false);
  if (name == "memory:?compress=true") return Stores(true);
  return Error(Code::Invalid, "there is no store \"" + name + "\"; use memory: or memory:?compress=true");
}

std::unique_ptr<Store> Stores::open(const Resource& resource) {
  if (!compress_) return std::make_unique<MemoryStore>();
  std::weak_ptr<ObjectPacker>& known = packers_[resource];
  auto packer = known.lock();
  if (!packer) known = packer = std::make_shared<ObjectPacker>();
  return std::make_unique<CompressedMemoryStore>(PackedForm(std::move(packer)));
}

std::size_t Stores::learnt_bytes() const {
  std::size_t bytes = 0;
  for (const auto& [resource, known] : packers_) {
    if (const auto packer = known.lock()) bytes += packer->memory_bytes();
  }
  return bytes;
}

}  // namespace tinf::wiring
