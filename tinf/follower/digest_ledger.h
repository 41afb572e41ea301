// DigestLedger: what one cluster's digests have said of its streams, so that one that names none can stand for all.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tinf/wire/messages.h"

namespace tinf {

// Not thread-safe.
class DigestLedger {
 public:
  // What `digest`, from the provider process `source`, says of where streams stand now: those that it names, or if it
  // names none, all that were named before it. Nothing then, if any digest between was missed.
  std::vector<wire::Digest::Stream> read(const std::string& source, const wire::Digest& digest);

 private:
  std::string source_;
  std::uint64_t last_ = 0;  // The number of the last digest, all before it having come since named_ was empty.
  std::map<std::string, wire::Digest::Stream> named_;  // By scope id.
};

}  // namespace tinf
