// GroupCommit: one thread that writes what many have to write.
// Why a thread of its own: a disk or a server may take seconds, and what waits for it must hold up nobody else. What
// comes meanwhile goes into one transaction, which costs as much as one of theirs.
#pragma once

#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "tinf/base/clock.h"
#include "tinf/base/task.h"
#include "tinf/store/database/failure.h"

namespace tinf::database {

// What every kind of work has, all of it to be stored or nothing. The functions run on the writing thread.
struct WorkBase {
  std::function<void()> undo = [] {};  // What it wrote has not been stored; before it runs again, or ends.
  std::function<void()> done = [] {};  // What it wrote is stored, and readers see it.
  std::size_t rows = 1;                // About how many it writes.
  const void* subject = nullptr;       // Two of one subject are not put into one transaction. Null: none.
};

struct GroupCommitHooks {
  std::function<void()> committed = [] {};  // After the done() of each piece of work in a transaction.
  std::function<void()> idle = [] {};       // After each turn, whatever became of it.
};

// Work that fails by its own fault is undone alone; where the database fails, all of a transaction has failed.
// Thread-safe but for start() and stop(), which their owner calls. `Work` is a WorkBase.
template <class Work>
class GroupCommit {
 public:
  // Writes all of it in one transaction, or throws a Failure and has written nothing. May be given the same work again.
  using CarryOut = std::function<void(const std::vector<Work*>&)>;

  GroupCommit(std::size_t rows_together, CarryOut carry_out, GroupCommitHooks hooks)
      : rows_together_(rows_together), carry_out_(std::move(carry_out)), hooks_(std::move(hooks)) {}
  ~GroupCommit() { stop(); }
  GroupCommit(const GroupCommit&) = delete;
  GroupCommit& operator=(const GroupCommit&) = delete;

  void start() {
    thread_ = std::thread([this] { loop(); });
  }
  // Tries once to write what waits, and ends.
  void stop();

  // Returns when it is stored, on the caller's executor. Who is cancelled leaves the work to be done.
  Task<Result<void>> write(Work work);

  const std::atomic<bool>& closing() const { return closing_; }

 private:
  // Shared by who waits and the thread that writes: either may be gone first.
  struct Outcome {
    Signal told;
    std::optional<Result<void>> result;
  };
  struct Waiting {
    Waiting(Work w, Executor h) : work(std::move(w)), home(std::move(h)) {}
    void end(Result<void> result) {
      asio::post(home, [outcome = outcome, result = std::move(result)]() mutable {
        outcome->result = std::move(result);
        outcome->told.notify();
      });
    }

    Work work;
    const Executor home;
    const std::shared_ptr<Outcome> outcome = std::make_shared<Outcome>();
  };
  using Together = std::vector<std::unique_ptr<Waiting>>;

  void loop();
  Together take();
  void write_together(Together& together);

  const std::size_t rows_together_;
  const CarryOut carry_out_;
  const GroupCommitHooks hooks_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::unique_ptr<Waiting>> waiting_;  // Under mutex_.
  std::atomic<bool> closing_ = false;             // Written under mutex_.
  std::thread thread_;
};

template <class Work>
void GroupCommit<Work>::stop() {
  {
    const std::lock_guard guard(mutex_);
    closing_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

template <class Work>
Task<Result<void>> GroupCommit<Work>::write(Work work) {
  auto waiting = std::make_unique<Waiting>(std::move(work), co_await asio::this_coro::executor);
  const auto outcome = waiting->outcome;
  {
    const std::lock_guard guard(mutex_);
    waiting_.push_back(std::move(waiting));
  }
  changed_.notify_one();
  while (!outcome->result) co_await outcome->told.wait();
  co_return *outcome->result;
}

template <class Work>
void GroupCommit<Work>::loop() {
  while (true) {
    Together together = take();
    if (together.empty()) return;
    write_together(together);
    hooks_.idle();
  }
}

// What waits, in its order, as much as goes into one transaction. Empty: this is the end.
template <class Work>
typename GroupCommit<Work>::Together GroupCommit<Work>::take() {
  std::unique_lock guard(mutex_);
  changed_.wait(guard, [this] { return closing_ || !waiting_.empty(); });
  Together together;
  std::set<const void*> subjects;
  std::size_t rows = 0;
  while (!waiting_.empty()) {
    const Work& next = waiting_.front()->work;
    if (!together.empty() && rows + next.rows > rows_together_) break;
    if (next.subject != nullptr && !subjects.insert(next.subject).second) break;
    rows += next.rows;
    together.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  return together;
}

template <class Work>
void GroupCommit<Work>::write_together(Together& together) {
  try {
    std::vector<Work*> works;
    for (const auto& one : together) works.push_back(&one->work);
    carry_out_(works);
    for (const auto& one : together) one->work.done();
    hooks_.committed();
    for (const auto& one : together) one->end(Result<void>());
  } catch (const Failure& failure) {
    for (auto one = together.rbegin(); one != together.rend(); ++one) (*one)->work.undo();
    if (failure.of_the_database || together.size() == 1) {
      for (const auto& one : together) one->end(failure.error);
      return;
    }
    // One of them is at fault: each by itself.
    for (auto& one : together) {
      Together alone;
      alone.push_back(std::move(one));
      write_together(alone);
    }
  }
}

}  // namespace tinf::database
