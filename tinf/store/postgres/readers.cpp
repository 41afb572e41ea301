#include "tinf/store/postgres/readers.h"

namespace tinf::postgres {
namespace {

constexpr unsigned kConnections = 8;
constexpr std::chrono::seconds kWait(10);  // For one that others use.

}  // namespace

std::unique_ptr<Connection> Readers::borrow() const {
  common_.health.check();
  std::unique_ptr<Connection> found;
  {
    std::unique_lock guard(mutex_);
    if (!returned_.wait_for(guard, kWait, [this] { return lent_ < kConnections; })) {
      throw Failure{Error(Code::Unavailable, "database " + common_.target.name() +
                                                 ": all connections that read are busy: it is slow, or much is asked"),
                    true};
    }
    ++lent_;
    if (!idle_.empty()) {
      found = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  // One that broke while nobody used it is found by looking.
  if (found && found->alive()) return found;
  try {
    return std::make_unique<Connection>(common_.target, common_.options(), &common_.closing);
  } catch (const Failure& failure) {
    common_.health.down(failure.error);
    give_back(nullptr);
    throw;
  }
}

void Readers::give_back(std::unique_ptr<Connection> connection) const {
  if (connection && !connection->usable()) {
    common_.health.down(connection->broken_because());
    connection = nullptr;
  }
  if (connection && connection->in_transaction()) connection = nullptr;
  const std::lock_guard guard(mutex_);
  --lent_;
  if (connection) idle_.push_back(std::move(connection));
  returned_.notify_one();
}

}  // namespace tinf::postgres
