// ClientClaim: who uses a client id, as processes tell each other by a retained record at the broker. A broker throws
// the elder of two out without a word of why; the record names the younger. Pure: no I/O, no clock.
#pragma once

#include <optional>

#include "tinf/base/clock.h"
#include "tinf/wire/messages.h"

namespace tinf::wire {

// Of two processes under one id the younger stays, as with the broker's own rule. Not thread-safe.
class ClientClaim {
 public:
  explicit ClientClaim(ClientRecord ours) : ours_(std::move(ours)) {}

  void connected(TimePoint now);
  void disconnected();

  // A record that came on the topic of our id, kept by the broker or just published.
  // Conflict: another process uses the id; the message names it. Invalid: not a record of this id.
  Result<void> receive(const ClientRecord& record, bool retained);

  // Our record, where it is time to publish it, retained: until it comes back, as what a broker denies it may well deny
  // in silence.
  std::optional<ClientRecord> next(TimePoint now);

  // The record at the broker is ours: to be taken back when we leave.
  bool seen() const { return seen_; }
  // It has not come back in time.
  bool missed() const { return missed_; }

 private:
  ClientRecord ours_;  // `started` is later than what any process before us has said.
  bool was_connected_ = false;
  bool reconnected_ = false;  // This connection, or the next one to come, is not our first.
  bool seen_ = false;
  bool said_ = false;
  bool missed_ = false;
  std::optional<TimePoint> due_;
};

}  // namespace tinf::wire
