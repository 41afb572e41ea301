#include "tinf/wiring/stores.h"

#include <charconv>

#include "tinf/store/memory/fleet_memory_store.h"
#include "tinf/store/memory/memory_store.h"
#include "tinf/store/sqlite/sqlite_fleet_store.h"

namespace tinf::wiring {
namespace {

struct StoreName {
  bool compress = false;
  std::string file;  // Of SQLite; empty: in memory.
  SqliteOptions sqlite;

  static Result<StoreName> parse(const std::string& text);
};

Result<StoreName> StoreName::parse(const std::string& text) {
  const auto unknown = [&text] {
    return Error(Code::Invalid,
                 "there is no store \"" + text + "\"; use memory:, memory:?compress=true or sqlite:///path/to/file.db");
  };
  StoreName name;
  if (text == kDefaultStore) return name;
  if (text == "memory:?compress=true") {
    name.compress = true;
    return name;
  }
  constexpr std::string_view kSqlite = "sqlite:";
  if (!text.starts_with(kSqlite)) return unknown();
  const std::size_t question = text.find('?');
  name.file = text.substr(kSqlite.size(), question == std::string::npos ? question : question - kSqlite.size());
  if (name.file.starts_with("//")) {
    name.file.erase(0, 2);
    if (!name.file.starts_with("/")) {
      return Error(Code::Invalid, "store \"" + text + "\": behind sqlite:// stands an absolute path, as in " +
                                      "sqlite:///var/lib/fleet.db; for a relative one write sqlite:fleet.db");
    }
  }
  if (name.file.empty() || name.file.ends_with("/")) return unknown();
  if (question == std::string::npos) return name;
  constexpr std::string_view kChanges = "changes=";
  const std::string option = text.substr(question + 1);
  const char* const end = option.data() + option.size();
  if (option.starts_with(kChanges)) {
    const auto parsed = std::from_chars(option.data() + kChanges.size(), end, name.sqlite.retained_changes);
    if (parsed.ec == std::errc() && parsed.ptr == end && name.sqlite.retained_changes > 0) return name;
  }
  return Error(Code::Invalid, "store \"" + text + "\": \"" + option +
                                  "\" is not understood; a SQLite file takes changes=NUMBER, as in ?changes=100000");
}

}  // namespace

Result<void> check_store(const std::string& name) {
  const auto parsed = StoreName::parse(name);
  if (!parsed) return parsed.error();
  return Result<void>();
}

Result<std::unique_ptr<FleetStore>> open_fleet_store(Runtime& runtime, const std::string& name, bool with_history) {
  auto parsed = StoreName::parse(name);
  if (!parsed) return parsed.error();
  if (parsed->file.empty()) {
    if (!with_history) return std::unique_ptr<FleetStore>();
    FleetMemoryOptions options;
    options.compress = parsed->compress;
    return std::unique_ptr<FleetStore>(std::make_unique<FleetMemoryStore>(runtime.clock, options));
  }
  return open_sqlite_fleet_store(runtime, std::move(parsed->file), parsed->sqlite);
}

bool is_shared_store(const std::string& name) {
  return name.starts_with("postgresql://") || name.starts_with("postgres://");
}

Result<std::unique_ptr<FleetReader>> open_fleet_reader(Runtime& runtime, const std::string& name) {
  (void)runtime;
  return Error(Code::Invalid, "store \"" + name + "\" is written by one process alone, which must serve it itself");
}

Result<Stores> Stores::of(const std::string& name) {
  const auto parsed = StoreName::parse(name);
  if (!parsed || !parsed->file.empty())
    return Error(Code::Invalid, "there is no store \"" + name + "\"; use memory: or memory:?compress=true");
  return Stores(parsed->compress);
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
