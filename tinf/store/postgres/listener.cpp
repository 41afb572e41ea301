#include "tinf/store/postgres/listener.h"

#include <poll.h>

#include <algorithm>

#include "tinf/store/postgres/draft.h"
#include "tinf/store/postgres/schema.h"

namespace tinf::postgres {
namespace {

constexpr std::chrono::milliseconds kFirstRetry(100);
constexpr std::chrono::milliseconds kLongestRetry(3000);
constexpr std::chrono::minutes kSayAgain(1);
constexpr std::chrono::milliseconds kWithoutNotice(300);

}  // namespace

Listener::Listener(Common& common, ListenerHooks hooks) : common_(common), hooks_(std::move(hooks)) {
  common_.health.on_down([this] { look(); });
}

Result<void> Listener::open() {
  try {
    connect();
    turn();
  } catch (const Failure& failure) {
    if (failure.error.code != Code::Unavailable) return failure.error;
    fail(failure);
  }
  return Result<void>();
}

void Listener::start() {
  thread_ = std::thread([this] { run(); });
}

void Listener::stop() {
  if (thread_.joinable()) thread_.join();
}

void Listener::run() {
  while (!common_.closing.raised()) {
    try {
      if (!connection_) connect();
      turn();
      wait(is_told_ ? common_.settings.poll : std::min(common_.settings.poll, kWithoutNotice));
    } catch (const Failure& failure) {
      fail(failure);
      wait(std::min(kLongestRetry, kFirstRetry * (1 << std::min(failures_, 5U))));
    }
  }
  connection_ = nullptr;
}

void Listener::fail(const Failure& failure) {
  connection_ = nullptr;
  ++failures_;
  common_.health.down(failure.error);
  wake_.lower();  // That was this one's own.
  const auto now = std::chrono::steady_clock::now();
  // A connection that broke, and then why there is no other one.
  if (is_away_ && failures_ != 2 && now - said_at_ < kSayAgain) return;
  is_away_ = true;
  said_at_ = now;
  hooks_.away(failure.error.message);
}

void Listener::connect() {
  auto fresh =
      std::make_unique<Connection>(common_.target, common_.options("SET synchronous_commit = off;"), &common_.closing);
  if (common_.settings.only_reads) {
    check_schema(*fresh, common_.settings.schema);
  } else {
    prepare_schema(*fresh, common_.settings.schema);
    meet_life(*fresh, common_);
    common_.lease.enter(*fresh);
    renew_at_ = {};
  }
  // A standby takes no LISTEN: there it is looked more often.
  is_told_ = fresh->parameter("in_hot_standby") != "on";
  if (is_told_) fresh->run_script("LISTEN " + fresh->quoted_name(common_.settings.schema));
  connection_ = std::move(fresh);
}

void Listener::turn() {
  (void)connection_->notified();
  if (common_.lease.token().empty() || std::chrono::steady_clock::now() >= renew_at_) renew();
  read_news();
  if (notify_.exchange(false) && !common_.settings.only_reads)
    connection_->run("SELECT pg_notify($1, '')", Values().add(common_.settings.schema));
  failures_ = 0;
  common_.health.up();
  if (std::exchange(is_away_, false)) hooks_.away("");
}

void Listener::renew() {
  renew_at_ = std::chrono::steady_clock::now() + common_.lease.length() / 3;
  if (common_.settings.only_reads) return;
  if (!common_.lease.renew(*connection_)) return;
  // What others have changed while it seemed to be ours is read, too.
  roster_ = -1;
  hooks_.lost();
}

void Listener::read_news(bool is_anew) {
  const StoreVersion told = common_.progress.version();
  Values since;
  since.add(roster_ < 0 ? StoreVersion(0) : version_).add(roster_);
  News news;
  std::int64_t roster = 0;
  {
    Moment moment(*connection_);
    connection_->send("SELECT version, floor, roster, life FROM clock");
    connection_->send(
        "SELECT s.collection, c.name, s.version, s.id, s.api_group, s.api_version, s.resource, s.wanted, s.position,"
        " s.count, s.sum_high, s.sum_low FROM scope s JOIN cluster c ON c.id = s.cluster"
        " WHERE s.version > $1 OR s.changed > $2",
        since);
    connection_->send("SELECT name, uid, kubernetes, present, offer FROM cluster WHERE changed > $1 AND known",
                      Values().add(roster_));
    const Rows clock = connection_->receive();
    const Rows copies = connection_->receive();
    const Rows clusters = connection_->receive();
    if (clock.size() == 0 || static_cast<StoreVersion>(clock.number(0, 0)) < told) {
      throw Failure{Error(Code::Unavailable, "database " + common_.target.name() +
                                                 ": it is older than what was told: a standby that is behind, or a "
                                                 "backup that was put back"),
                    true};
    }
    news.version = static_cast<StoreVersion>(clock.number(0, 0));
    const auto floor = static_cast<StoreVersion>(clock.number(0, 1));
    roster = clock.number(0, 2);
    news.is_anew = !life_.empty() && clock.text(0, 3) != life_;
    life_ = clock.string(0, 3);
    news.is_all = roster_ < 0;
    common_.progress.learn(news.version, floor);
    for (int row = 0; row < copies.size(); ++row) {
      database::CopyName name{copies.string(row, 0), copies.string(row, 1)};
      if (static_cast<StoreVersion>(copies.number(row, 2)) > version_) news.changed.insert(name);
      news.copies.push_back(News::CopyRow{std::move(name), copy_state_of(copies, row, 3)});
    }
    for (int row = 0; row < clusters.size(); ++row) {
      FleetCluster& cluster = news.clusters.emplace_back();
      cluster.name = clusters.string(row, 0);
      cluster.uid = clusters.string(row, 1);
      cluster.kubernetes = clusters.string(row, 2);
      cluster.present = clusters.flag(row, 3);
      cluster.offer = database::offer_of_json(clusters.text(row, 4));
    }
  }
  news.is_anew = news.is_anew || is_anew;
  const bool is_news = news.version != version_ || roster != roster_;
  version_ = news.version;
  roster_ = roster;
  if (news.is_anew && !news.is_all) {  // Another life: rows may have gone, too.
    roster_ = -1;
    return read_news(true);
  }
  if (is_news) hooks_.news(std::move(news));
}

void Listener::wait(std::chrono::milliseconds longest) {
  const auto until = std::chrono::steady_clock::now() + longest;
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    if (left.count() <= 0) return;
    pollfd look[3] = {{common_.closing.descriptor(), POLLIN, 0},
                      {wake_.descriptor(), POLLIN, 0},
                      {connection_ ? connection_->descriptor() : -1, POLLIN, 0}};
    if (::poll(look, 3, static_cast<int>(left.count())) <= 0) continue;
    if (look[1].revents != 0) wake_.lower();
    if (look[2].revents != 0 && !connection_->notified() && look[0].revents == 0 && look[1].revents == 0) continue;
    return;
  }
}

}  // namespace tinf::postgres
