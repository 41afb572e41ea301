// Failure: what is thrown where a statement fails. Between the steps of a transaction there is nothing to decide;
// whoever began it turns this into an Error. It never leaves the folder of a store.
#pragma once

#include "tinf/base/result.h"

namespace tinf::database {

struct Failure {
  Error error;
  bool of_the_database = true;  // It would befall any other work as well, now: not a fault of what was asked.
};

}  // namespace tinf::database
