// Task<T>: a coroutine on an Asio executor. TaskGroup: the owner of coroutines that run side by side.
// Cancelling unwinds a task with an exception that TaskGroup swallows; nothing else here throws.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstddef>
#include <memory>

namespace tinf {

namespace asio = boost::asio;

template <class T>
using Task = asio::awaitable<T>;
using Executor = asio::any_io_executor;

// Owns the tasks it spawns: they end before it does.
// Confined to the executor it was made with, which must be a strand or a single-threaded context.
class TaskGroup {
 public:
  explicit TaskGroup(Executor executor);

  // Cancels what still runs. The frames unwind on later turns of the executor and must not touch what
  // died meanwhile: an owner that can wait does `co_await stop()` first.
  ~TaskGroup();

  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  // Starts `task`: at once up to its first wait if called on the executor, else on a later turn of it. A task that ends
  // by an exception other than cancellation is a bug: the exception leaves through the executor's run().
  void spawn(Task<void> task);

  // Asks every task to end; returns at once.
  void cancel();

  // Cancels every task and returns when the last one has ended. Whoever awaits this or join() cannot be cancelled any
  // more, also after it: an owner on its way out has the rest of that way to go.
  Task<void> stop();

  // Returns when no task runs any more. Leaves its caller uncancellable, like stop().
  Task<void> join();

  std::size_t running() const;

 private:
  struct State;
  std::shared_ptr<State> state_;  // Shared with the completion handlers, which may outlive the group.
};

}  // namespace tinf
