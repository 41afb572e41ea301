// The tables, and how a file of an older version becomes one of this. docs/storage.md describes them for SQL users.
#pragma once

#include "tinf/store/sqlite/connection.h"

namespace tinf::sqlite {

inline constexpr int kSchemaVersion = 2;

// On a connection that may write. Throws Failure; its error is Invalid where the file is another program's, or written
// by a newer version of this one. Tests make files of older versions with `up_to`.
void prepare_schema(Connection& connection, const std::string& file, int up_to = kSchemaVersion);

// A number in the table `meta`; 0: it is not there.
std::uint64_t meta(Connection& connection, std::string_view name);

}  // namespace tinf::sqlite
