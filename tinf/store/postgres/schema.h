// The tables, and how a schema of an older version becomes one of this. docs/storage.md describes them for SQL users.
#pragma once

#include "tinf/store/postgres/connection.h"

namespace tinf::postgres {

inline constexpr int kSchemaVersion = 1;

// Makes the schema of this name or brings it to this version; several processes may do so at once. Throws Failure; its
// error is Invalid where the schema is another program's, was written by a newer version of this one, or the role lacks
// a right: the message has the GRANT.
void prepare_schema(Connection& connection, const std::string& schema);

// For a process that only reads: Invalid where there is no schema of this version, or it may not be read.
void check_schema(Connection& connection, const std::string& schema);

// Which life of the database this is: another one after a failover, where a dump or a backup was put back. Part of it
// may then be older than what was told.
std::string life_of(Connection& connection);

}  // namespace tinf::postgres
