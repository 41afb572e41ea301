#include "tinf/wiring/stores.h"

#include <charconv>
#include <optional>
#include <regex>
#include <vector>

#include "tinf/store/memory/fleet_memory_store.h"
#include "tinf/store/memory/memory_store.h"
#include "tinf/store/postgres/postgres_fleet_store.h"
#include "tinf/store/sqlite/sqlite_fleet_store.h"

namespace tinf::wiring {
namespace {

struct StoreName {
  bool compress = false;
  std::string file;  // Of SQLite; empty: in memory.
  SqliteOptions sqlite;
  std::string database;  // PostgreSQL's URI, as libpq takes it; empty: it is none.
  PostgresOptions postgres;

  static Result<StoreName> parse(const std::string& text);
};

// What may be repeated of a name: no password.
std::string shown(const std::string& name) {
  static const std::regex in_front("(://[^/?@:]*):.*@");
  static const std::regex behind("(password=)[^&]*");
  return std::regex_replace(std::regex_replace(name, in_front, "$1:***@"), behind, "$1***");
}

// A number above zero.
template <class Number>
bool read_number(std::string_view text, Number& number) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size() && number > 0;
}

// What stands behind the question mark, between ampersands.
std::vector<std::string> parameters_of(const std::string& text) {
  std::vector<std::string> parameters;
  for (std::size_t from = text.find('?'); from != std::string::npos;) {
    const std::size_t end = text.find('&', from + 1);
    parameters.push_back(text.substr(from + 1, end == std::string::npos ? end : end - from - 1));
    from = end;
  }
  return parameters;
}

// A parameter that every database takes. Nothing: it is another one. Invalid: its value is wrong.
std::optional<Result<void>> take_common(const std::string& parameter, const std::string& text, std::uint64_t& changes,
                                        database::BodyOptions& bodies) {
  constexpr std::string_view kChanges = "changes=", kFormat = "format=";
  if (parameter.starts_with(kChanges)) {
    if (read_number(std::string_view(parameter).substr(kChanges.size()), changes)) return Result<void>();
    return Error(Code::Invalid, "store \"" + shown(text) + "\": changes takes a number, as in ?changes=100000");
  }
  if (!parameter.starts_with(kFormat)) return std::nullopt;
  const std::string_view format = std::string_view(parameter).substr(kFormat.size());
  if (format != "json" && format != "zstd")
    return Error(Code::Invalid,
                 "store \"" + shown(text) + "\": format is json, which SQL can read, or zstd, which is small");
  bodies.format = format == "zstd" ? database::BodyFormat::Zstd : database::BodyFormat::Json;
  return Result<void>();
}

// What is ours of the parameters is taken out; the rest is libpq's.
Result<StoreName> parse_postgres(const std::string& text) {
  StoreName name;
  name.database = text.substr(0, text.find('?'));
  char next = '?';
  database::BodyOptions bodies;
  for (const std::string& parameter : parameters_of(text)) {
    constexpr std::string_view kSchema = "schema=";
    if (auto common = take_common(parameter, text, name.postgres.retained_changes, bodies)) {
      if (!*common) return common->error();
      if (bodies.format == database::BodyFormat::Zstd)
        return Error(Code::Invalid, "store \"" + shown(text) +
                                        "\": format=zstd is for SQLite; PostgreSQL compresses by itself what is long");
    } else if (parameter.starts_with(kSchema)) {
      static const std::regex form("[a-z_][a-z0-9_]{0,62}");
      name.postgres.schema = parameter.substr(kSchema.size());
      if (!std::regex_match(name.postgres.schema, form))
        return Error(Code::Invalid,
                     "store \"" + shown(text) + "\": schema takes a name in small letters, as in ?schema=tinf");
    } else if (!parameter.empty()) {
      name.database += next + parameter;
      next = '&';
    }
  }
  if (auto checked = check_postgres_uri(name.database); !checked) return checked.error();
  return name;
}

Result<StoreName> StoreName::parse(const std::string& text) {
  const auto unknown = [&text] {
    return Error(Code::Invalid, "there is no store \"" + shown(text) +
                                    "\"; use memory:, memory:?compress=true, sqlite:///path/to/file.db or "
                                    "postgresql://user@host/database");
  };
  if (is_shared_store(text)) return parse_postgres(text);
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
  for (const std::string& parameter : parameters_of(text)) {
    const auto common = take_common(parameter, text, name.sqlite.retained_changes, name.sqlite.bodies);
    if (common && *common) continue;
    if (common) return common->error();
    return Error(Code::Invalid, "store \"" + text + "\": \"" + parameter +
                                    "\" is not understood; a SQLite file takes changes=NUMBER and format=json or "
                                    "format=zstd, as in ?changes=100000&format=zstd");
  }
  return name;
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
  if (!parsed->database.empty()) return open_postgres_fleet_store(runtime, parsed->database, parsed->postgres);
  if (parsed->file.empty()) {
    if (!with_history) return std::unique_ptr<FleetStore>();
    FleetMemoryOptions options;
    options.compress = parsed->compress;
    return std::unique_ptr<FleetStore>(std::make_unique<FleetMemoryStore>(runtime.clock, options));
  }
  return open_sqlite_fleet_store(runtime, std::move(parsed->file), parsed->sqlite);
}

Result<std::string> store_in_format(const std::string& name, const std::string& format) {
  if (!is_shared_store(name) && !name.starts_with("sqlite:"))
    return Error(Code::Invalid, "a format is for objects in a database: store \"" + shown(name) +
                                    "\" is none; memory:?compress=true compresses in memory");
  const std::string formatted = name + (name.find('?') == std::string::npos ? "?" : "&") + "format=" + format;
  if (auto checked = check_store(formatted); !checked) return checked.error();
  return formatted;
}

bool holds_password(const std::string& name) {
  return is_shared_store(name) && shown(name) != name;
}

bool is_shared_store(const std::string& name) {
  return name.starts_with("postgresql://") || name.starts_with("postgres://");
}

Result<std::unique_ptr<FleetReader>> open_fleet_reader(Runtime& runtime, const std::string& name) {
  auto parsed = StoreName::parse(name);
  if (!parsed) return parsed.error();
  if (!parsed->database.empty()) return open_postgres_fleet_reader(runtime, parsed->database, parsed->postgres);
  return Error(Code::Invalid, "store \"" + name + "\" is written by one process alone, which must serve it itself");
}

Result<Stores> Stores::of(const std::string& name) {
  const auto parsed = StoreName::parse(name);
  if (!parsed || !parsed->file.empty() || !parsed->database.empty())
    return Error(Code::Invalid,
                 "there is no store \"" + shown(name) + "\" in memory; use memory: or memory:?compress=true");
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
