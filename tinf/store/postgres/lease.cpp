#include "tinf/store/postgres/lease.h"

#include <algorithm>
#include <random>
#include <utility>

namespace tinf::postgres {
namespace {

// Not a number that the database counts: after a failover to an older copy of it one could be given twice.
std::string random_token() {
  std::random_device random;
  std::string token;
  for (int i = 0; i < 4; ++i) {
    char part[9];
    std::snprintf(part, sizeof part, "%08x", random());
    token += part;
  }
  return token;
}

// Those that are in the midst of a transaction are passed over: it ends before they can be taken out.
constexpr const char* kTakeOutTheGone =
    "DELETE FROM process WHERE id IN (SELECT id FROM process WHERE until < clock_timestamp() AND id <> $1"
    " FOR UPDATE SKIP LOCKED)";

// That a lease is lost with a server that crashes at once does no harm: whoever writes is told then.
constexpr const char* kNoWaitForTheDisk = "SELECT set_config('synchronous_commit', 'off', true)";

}  // namespace

std::string Lease::token() const {
  const std::lock_guard guard(mutex_);
  return token_;
}

void Lease::enter(Connection& connection) {
  if (!token().empty()) return;
  const std::string fresh = random_token();
  Values me, before, all;
  me.add(fresh);
  {
    const std::lock_guard guard(mutex_);
    before.add(lost_);
  }
  all.add(fresh).add(process_).add(static_cast<std::int64_t>(length_.count()));
  connection.send_quietly(kTakeOutTheGone, me);
  // Where its row is still there: what it held is free at once.
  connection.send_quietly(
      "DELETE FROM process WHERE id IN (SELECT id FROM process WHERE id = $1 FOR UPDATE SKIP LOCKED)", before);
  connection.send_quietly(
      "INSERT INTO process(id, name, until) VALUES($1, $2, clock_timestamp() + $3::bigint * interval '1 ms')", all);
  connection.finish();
  is_to_tell_ = true;
  const std::lock_guard guard(mutex_);
  token_ = fresh;
}

// Where another process writes, whose transaction may be long, it is told with the next renewal.
void Lease::tell_what_nobody_holds(Connection& connection) {
  const Rows clocks = connection.run(
      "WITH held AS (SELECT FROM clock FOR UPDATE SKIP LOCKED), now AS (UPDATE clock SET roster = roster + 1"
      " WHERE EXISTS (SELECT FROM held) AND EXISTS (SELECT FROM cluster WHERE present AND holder IS NULL)"
      " RETURNING roster), gone AS (UPDATE cluster SET present = false, changed = now.roster FROM now"
      " WHERE present AND holder IS NULL) SELECT count(*) FROM held");
  is_to_tell_ = clocks.number(0, 0) == 0;
}

bool Lease::renew(Connection& connection) {
  const std::string mine = token();
  Values values;
  values.add(mine).add(static_cast<std::int64_t>(length_.count()));
  Values me;
  me.add(mine);
  connection.send_quietly(kNoWaitForTheDisk);
  connection.send("UPDATE process SET until = clock_timestamp() + $2::bigint * interval '1 ms' WHERE id = $1", values);
  connection.send(
      "SELECT c.name, c.holder, p.name, to_char(p.until, 'HH24:MI:SS TZ') FROM cluster c JOIN process p ON p.id = "
      "c.holder"
      " WHERE p.id <> $1 AND p.until > clock_timestamp()",
      me);
  const bool lost = connection.receive().affected() == 0;
  const Rows others = connection.receive();
  connection.finish();
  {
    const std::lock_guard guard(mutex_);
    holders_.clear();
  }
  learn(others, mine);
  if (lost) {
    lose(mine);
    enter(connection);
  }
  if (is_to_tell_) tell_what_nobody_holds(connection);
  return lost;
}

void Lease::lose(const std::string& token) {
  const std::lock_guard guard(mutex_);
  if (token_ == token && !token.empty()) lost_ = std::exchange(token_, "");
}

void Lease::leave(Connection& connection) {
  const std::string mine = token();
  if (mine.empty()) return;
  Values me;
  me.add(mine);
  connection.run("DELETE FROM process WHERE id = $1", me);
  lose(mine);
}

Lease::Taken Lease::take(Connection& connection, std::vector<std::string> clusters) {
  std::ranges::sort(clusters);  // In one order everywhere: two processes must not wait for each other.
  const std::string mine = token();
  if (mine.empty()) {
    throw Failure{Error(Code::Unavailable, "database " + connection.name() +
                                               ": this process was not heard of for a while, and enters anew among "
                                               "those that write; it is tried again"),
                  true};
  }
  Values me, names, both;
  Array list = texts();
  for (const std::string& name : clusters) list.add(name);
  me.add(mine);
  names.add(list);
  both.add(list).add(mine);
  connection.send_quietly(kNoWaitForTheDisk);
  connection.send_quietly(kTakeOutTheGone, me);
  connection.send_quietly(
      "INSERT INTO cluster(name) SELECT n FROM unnest($1::text[]) n"
      " WHERE NOT EXISTS (SELECT FROM cluster c WHERE c.name = n) ON CONFLICT DO NOTHING",
      names);
  connection.send_quietly("UPDATE cluster SET holder = $2 WHERE name = ANY($1) AND holder IS NULL", both);
  connection.send(
      "SELECT c.name, c.holder, p.name, to_char(p.until, 'HH24:MI:SS TZ') FROM cluster c LEFT JOIN process p ON p.id ="
      " c.holder WHERE c.name = ANY($1)",
      names);
  try {
    const Rows rows = connection.receive();
    connection.finish();
    {
      const std::lock_guard guard(mutex_);
      for (const std::string& name : clusters) holders_.erase(name);
    }
    learn(rows, mine);
    Taken taken{mine, {}};
    for (int row = 0; row < rows.size(); ++row) {
      if (rows.text(row, 1) == mine) taken.clusters.insert(rows.string(row, 0));
    }
    return taken;
  } catch (const Failure& failure) {
    // The row of this process was taken out, and the clusters' reference to it is refused: it enters anew next time.
    if (failure.error.code == Code::Conflict) lose(mine);
    throw;
  }
}

void Lease::learn(const Rows& rows, const std::string& token) {
  const std::lock_guard guard(mutex_);
  for (int row = 0; row < rows.size(); ++row) {
    if (!rows.null(row, 1) && rows.text(row, 1) != token)
      holders_[rows.string(row, 0)] = Holder{rows.string(row, 2), rows.string(row, 3)};
  }
}

std::optional<Holder> Lease::holder_of(const std::string& cluster) const {
  const std::lock_guard guard(mutex_);
  const auto found = holders_.find(cluster);
  return found == holders_.end() ? std::nullopt : std::optional(found->second);
}

Error Lease::refusal(const std::string& database, const std::string& cluster) const {
  const auto holder = holder_of(cluster);
  std::string who = "nobody any more";
  if (holder) who = "process " + holder->process + ", until " + holder->until + " unless that is heard of again";
  return Error(Code::Conflict, "database " + database + ": cluster " + cluster + " is held by " + who);
}

}  // namespace tinf::postgres
