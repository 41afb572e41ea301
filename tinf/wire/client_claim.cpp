#include "tinf/wire/client_claim.h"

#include <limits>
#include <tuple>

namespace tinf::wire {
namespace {

constexpr Duration kBack = std::chrono::seconds(5);         // How long our record may take to come back.
constexpr Duration kOthersFirst = std::chrono::seconds(1);  // How long that of a younger process may take.

}  // namespace

// Our first connect takes the client id, as the broker has just given it to us. At a later one, the record of a younger
// process would be there already: it is the one that the broker took us for.
void ClientClaim::connected(TimePoint now) {
  seen_ = said_ = missed_ = false;
  due_ = was_connected_ ? now + kOthersFirst : now;
  was_connected_ = true;
}

void ClientClaim::disconnected() {
  reconnected_ = reconnected_ || was_connected_;
  due_.reset();
}

Result<void> ClientClaim::receive(const ClientRecord& record, bool retained) {
  if (record.client != ours_.client) return Error(Code::Invalid, "not a record of this client id");
  seen_ = record.instance == ours_.instance;
  if (seen_) {
    missed_ = false;
    return Result<void>();
  }
  const bool younger = std::tie(record.started, record.instance) > std::tie(ours_.started, ours_.instance);
  // Kept from before our first connect, it is of a process that is gone or has just lost the client id to us, whatever
  // its clock said.
  const bool from_before = retained && !reconnected_;
  if (younger && !from_before) {
    return Error(Code::Conflict, "client id " + ours_.client + " is in use by another process, on " + record.host +
                                     " (instance " + record.instance +
                                     "): give each provider and informer a --client-id of its own");
  }
  if (younger) ours_.started = std::min(record.started, std::numeric_limits<std::int64_t>::max() - 1) + 1;
  said_ = false;
  if (due_) due_ = TimePoint();
  return Result<void>();
}

std::optional<ClientRecord> ClientClaim::next(TimePoint now) {
  if (seen_ || !due_ || now < *due_) return std::nullopt;
  missed_ = missed_ || said_;
  said_ = true;
  due_ = now + kBack;
  return ours_;
}

}  // namespace tinf::wire
