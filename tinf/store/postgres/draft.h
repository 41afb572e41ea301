// Draft: what of a piece of work differs from what is stored, found before anything is written.
#pragma once

#include <vector>

#include "tinf/store/postgres/writer.h"

namespace tinf::postgres {

// An object that the change brings, and what it replaces.
struct Written {
  const Object* object = nullptr;  // The work's.
  bool is_new = false;             // There was none in its place,
  bool is_another = false;         // or one with another uid.
  std::uint64_t replaced_bytes = 0;
};

struct Removed {
  ObjectKey key;
  std::uint64_t bytes = 0;
};

struct Draft {
  CopyChange* change = nullptr;
  CopyState before;
  CopyState after;
  std::vector<Removed> removed;
  std::vector<Written> written;

  std::uint64_t versions() const;  // How many the changes take.
  std::uint64_t replaced_bytes() const;
  bool is_listed_anew() const;  // Who asks which copies there are gets another answer.
};

// Reads what is stored of each copy, and compares. What it reads nobody else alters while this process holds the
// clusters: whoever writes the draft checks that in the same transaction. Throws Failure: Conflict where a copy is to
// be empty and is not.
std::vector<Draft> make_drafts(Connection& connection, const std::vector<CopyChange*>& changes);

// PostgreSQL's texts hold no NUL: what is left of one. An object's key never has one.
std::string fitting(std::string_view text);

// Whether an owner's uid stands in the column `owners`, and so in its index, which takes no text of any length. No API
// server gives out others; where an object has one, only its body tells.
bool is_indexed_owner(std::string_view uid);
// What stands between the owners of a row while it travels.
inline constexpr char kBetweenOwners = '\n';

// The columns of a row of `scope` from `first` on: id, api_group, api_version, resource, wanted, position, count,
// sum_high, sum_low.
CopyState copy_state_of(const Rows& rows, int row, int first);

}  // namespace tinf::postgres
