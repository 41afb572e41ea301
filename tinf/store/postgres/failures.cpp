#include "tinf/store/postgres/failures.h"

#include <algorithm>
#include <regex>

namespace tinf::postgres {
namespace {

struct Known {
  std::string_view state;  // Or the class that it begins with.
  Code code;
  const char* help;
};

// The more particular ones first.
constexpr Known kKnown[] = {
    {"28", Code::Invalid,
     "the server does not let this user in: look at the user, the password (PGPASSWORD, or ~/.pgpass), and the "
     "server's pg_hba.conf"},
    {"3D000", Code::Invalid, "there is no such database: CREATE DATABASE makes it, as its server's administrator"},
    {"42501", Code::Invalid,
     "the role lacks a right: an administrator runs GRANT USAGE, CREATE ON SCHEMA for the schema named in the message "
     "and GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA, or makes the role the schema's owner"},
    {"53100", Code::Unavailable, "the server's disk is full: make room; nothing of this change was stored"},
    {"53300", Code::Unavailable, "the server has no connection left: raise its max_connections, or end others"},
    {"53", Code::Unavailable, "the server lacks memory or another resource: its log says which"},
    {"55P03", Code::Unavailable,
     "another session has locked its tables: end that session's transaction, which pg_stat_activity shows"},
    {"57014", Code::Unavailable, "a statement took too long: the server is overloaded, or its disk is slow"},
    {"57P", Code::Unavailable, "the server is starting or stopping, or has ended the connection"},
    {"25006", Code::Unavailable,
     "the server is a standby that takes no writes: name all hosts, as postgresql://host1,host2/database"},
    {"23503", Code::Conflict, "this process was not heard of for a while, and holds no clusters any more"},
    {"25P03", Code::Unavailable, "the server ended a transaction in which this process was silent"},
    {"40", Code::Unavailable, "the server broke a transaction off in favour of another one"},
    {"58", Code::Unavailable, "the server's disk failed: its log says how"},
    {"XX", Code::Unavailable, "the server found its data damaged: its log says where; restore them from a backup"},
    {"08", Code::Unavailable, "the connection broke"},
    {"42P01", Code::Unavailable, "its tables are not all there: restore the schema, or start again with an empty one"},
    {"3F000", Code::Unavailable, "its schema is not there any more: restore it, or start again with an empty one"},
};

Error named(const std::string& database, Code code, const std::string& help, std::string_view words) {
  std::string message = "database " + database + ": " + help;
  if (!words.empty()) message += (help.empty() ? "" : " (") + std::string(words) + (help.empty() ? "" : ")");
  std::replace_if(
      message.begin(), message.end(), [](unsigned char c) { return c < 0x20; }, ' ');
  return Error(code, std::move(message));
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  return text;
}

std::string_view first_line(std::string_view text) {
  return trimmed(text.substr(0, text.find('\n')));
}

}  // namespace

Failure failure_of(const std::string& database, std::string_view state, std::string_view words) {
  // Of the object that has such a name, not of the database: others are stored without it.
  if (state == "54000")
    return Failure{named(database, Code::Internal, "a name is longer than PostgreSQL's indexes take", words), false};
  if (state == kNotHeld) return Failure{named(database, Code::Conflict, "", words), true};
  for (const Known& known : kKnown) {
    if (state.starts_with(known.state)) return Failure{named(database, known.code, known.help, words), true};
  }
  return Failure{named(database, Code::Internal, "", std::string(words) + " [" + std::string(state) + "]"), false};
}

Failure connect_failure(const std::string& database, std::string_view words) {
  const std::string text(trimmed(words));
  // "... FATAL:  28P01: password authentication failed", and LOCATION in a line of its own.
  static const std::regex with_state(R"(:  ([0-9A-Z]{5}): ([^\n]*))");
  std::smatch found;
  if (std::regex_search(text, found, with_state)) return failure_of(database, found[1].str(), found[2].str());
  const auto says = [&text](const char* part) { return text.find(part) != std::string::npos; };
  if (says("no password supplied"))
    return failure_of(database, "28P01", "the server asks for a password, and none was given");
  if (says("certificate") || says("SSL was required") || says("private key file")) {
    return Failure{named(database, Code::Invalid,
                         "no trusted connection: look at sslmode, sslrootcert and the server's certificate", text),
                   true};
  }
  if (says("session is read-only")) return failure_of(database, "25006", text);
  return Failure{
      named(database, Code::Unavailable,
            "it cannot be reached: is the server running, and does it listen there? It is tried again", text),
      true};
}

Failure broken(const std::string& database, std::string_view words) {
  return Failure{named(database, Code::Unavailable, "the connection broke; it is made again", first_line(words)), true};
}

}  // namespace tinf::postgres
