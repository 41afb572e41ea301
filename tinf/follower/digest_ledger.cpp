#include "tinf/follower/digest_ledger.h"

#include "tinf/wire/rules.h"

namespace tinf {
namespace {

constexpr std::size_t kMaximumStreams = 4096;  // Of one provider.

}  // namespace

std::vector<wire::Digest::Stream> DigestLedger::read(const std::string& source, const wire::Digest& digest) {
  if (source != source_) {
    source_ = source;
    last_ = 0;
    named_.clear();
  }
  const bool in_short = digest.streams.empty();
  const std::uint64_t expected = in_short ? last_ : last_ + 1;
  // A missed one may have named a stream anew.
  if (digest.number > expected && !wire::broken(wire::Rule::MissedDigestsAreMissed)) named_.clear();
  const bool late = digest.number < expected;
  if (!late) last_ = digest.number;
  if (!in_short) {
    for (const wire::Digest::Stream& stream : digest.streams) {
      if (!late && (named_.size() < kMaximumStreams || named_.count(stream.scope) > 0)) named_[stream.scope] = stream;
    }
    return digest.streams;
  }
  std::vector<wire::Digest::Stream> streams;
  if (late) return streams;
  streams.reserve(named_.size());
  for (const auto& [scope, stream] : named_) streams.push_back(stream);
  return streams;
}

}  // namespace tinf
