#include "tinf/store/postgres/target.h"

#include <libpq-fe.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <map>
#include <memory>

namespace tinf::postgres {
namespace {

constexpr int kLongestConnect = 60;  // Seconds.

// Where the URI says nothing of them, nor the environment: a peer that is gone is found within half a minute,
// and the server's list of sessions says who this is.
const std::vector<std::pair<const char*, const char*>> kDefaults = {
    {"keepalives_idle", "10"},     {"keepalives_interval", "5"}, {"keepalives_count", "3"},
    {"tcp_user_timeout", "20000"}, {"client_encoding", "UTF8"},  {"fallback_application_name", "transport-informer"},
};

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  std::size_t from = 0;
  for (std::size_t comma; (comma = list.find(',', from)) != std::string::npos; from = comma + 1)
    parts.push_back(list.substr(from, comma - from));
  parts.push_back(list.substr(from));
  return parts;
}

using Given = std::map<std::string, std::string>;

std::string of(const Given& given, const std::string& name, const char* variable) {
  if (const auto found = given.find(name); found != given.end()) return found->second;
  const char* set = std::getenv(variable);
  return set == nullptr ? "" : set;
}

std::string shown(const Given& given) {
  std::string name = "postgresql://";
  if (const std::string user = of(given, "user", "PGUSER"); !user.empty()) name += user + "@";
  std::string host = of(given, "host", "PGHOST");
  if (host.empty()) host = of(given, "hostaddr", "PGHOSTADDR");
  const auto hosts = split(host), ports = split(of(given, "port", "PGPORT"));
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    const std::string& port = ports.size() == hosts.size() ? ports[i] : ports.front();
    name += (i > 0 ? "," : "") + hosts[i] + (port.empty() ? "" : ":" + port);
  }
  return name + "/" + of(given, "dbname", "PGDATABASE");
}

}  // namespace

Result<Target> Target::parse(const std::string& uri, bool takes_writes) {
  char* why = nullptr;
  const std::unique_ptr<PQconninfoOption, void (*)(PQconninfoOption*)> options(PQconninfoParse(uri.c_str(), &why),
                                                                               PQconninfoFree);
  PQfreemem(why);  // It repeats the URI, and what stands in it.
  if (!options) {
    return Error(Code::Invalid,
                 "the store's name is no PostgreSQL URI: it has the form postgresql://user@host:5432/database, with "
                 "parameters as ?sslmode=verify-full behind it, and % of other characters than letters and digits");
  }
  Given given;
  for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
    if (option->val != nullptr && *option->val != '\0') given[option->keyword] = option->val;
  }
  Target target;
  target.name_ = shown(given);
  if (const std::string text = of(given, "connect_timeout", "PGCONNECT_TIMEOUT"); !text.empty()) {
    int seconds = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (parsed.ec == std::errc() && seconds > 0) target.connect_seconds_ = std::clamp(seconds, 1, kLongestConnect);
  }
  for (const auto& [name, value] : kDefaults) {
    given.emplace(name, value);
  }
  if (takes_writes && std::getenv("PGTARGETSESSIONATTRS") == nullptr)
    given.emplace("target_session_attrs", "read-write");
  const auto hosts = split(of(given, "host", "PGHOST")), addresses = split(of(given, "hostaddr", "PGHOSTADDR"));
  const auto ports = split(of(given, "port", "PGPORT"));
  const std::size_t count = std::max(hosts.size(), addresses.size());
  for (std::size_t i = 0; i < count; ++i) {
    Given one = given;
    const auto take = [&](const char* name, const std::vector<std::string>& list) {
      if (list.size() == count) one[name] = list[i];
    };
    if (count > 1) {
      take("host", hosts);
      take("hostaddr", addresses);
      take("port", ports);
    }
    target.hosts_.emplace_back(one.begin(), one.end());
  }
  return target;
}

}  // namespace tinf::postgres
