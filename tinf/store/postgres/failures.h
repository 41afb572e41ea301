// What PostgreSQL and libpq say that went wrong, in words that name the database and the remedy.
#pragma once

#include <string>
#include <string_view>

#include "tinf/store/database/failure.h"

namespace tinf::postgres {

using database::Failure;

// An answer to a statement. `state`: SQLSTATE; `words`: the server's own message.
Failure failure_of(const std::string& database, std::string_view state, std::string_view words);

// A connection that could not be made. Invalid: trying again will not help, as with a wrong password. `words`: libpq's,
// with SQLSTATE where its verbosity gives that.
Failure connect_failure(const std::string& database, std::string_view words);

// A connection that broke, or whose server is silent.
Failure broken(const std::string& database, std::string_view words);

// SQLSTATE of the project's own: this process does not hold the cluster that it would write to.
inline constexpr std::string_view kNotHeld = "TI001";

}  // namespace tinf::postgres
