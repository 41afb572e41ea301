// Engine: the thread on which the face's components live, and the way in and out of it for threads that block.
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <future>
#include <thread>

#include "tinf/base/runtime.h"

namespace tinf::sdk {

// Calls block until the loop has done them; they must come from another thread than the loop's.
class Engine {
 public:
  explicit Engine(Log log) : runtime_{context_.get_executor(), clock_, std::move(log), metrics_, random_} {}
  ~Engine() {
    work_.reset();
    context_.stop();
    loop_.join();
    handlers_.join();
  }
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  Runtime& runtime() { return runtime_; }
  Executor handlers() { return handlers_.get_executor(); }

  template <class T>
  T run(Task<T> task) {
    std::promise<T> promise;
    auto future = promise.get_future();
    asio::co_spawn(context_, fulfil(std::move(task), promise), asio::detached);
    return future.get();
  }

  template <class F>
  auto call(F function) -> decltype(function()) {
    std::packaged_task<decltype(function())()> task(std::move(function));
    auto future = task.get_future();
    asio::post(context_, [&task] { task(); });
    return future.get();
  }

  // Does not wait.
  template <class F>
  void post(F function) {
    asio::post(context_, std::move(function));
  }

  bool on_handler_thread() { return handlers_.get_executor().running_in_this_thread(); }
  bool on_own_thread() { return on_handler_thread() || context_.get_executor().running_in_this_thread(); }

 private:
  template <class T>
  static Task<void> fulfil(Task<T> task, std::promise<T>& promise) {
    try {
      if constexpr (std::is_void_v<T>) {
        co_await std::move(task);
        promise.set_value();
      } else {
        promise.set_value(co_await std::move(task));
      }
    } catch (...) {
      promise.set_exception(std::current_exception());
    }
  }

  asio::io_context context_{1};
  RealClock clock_;
  Metrics metrics_;
  Random random_ = Random::from_entropy();
  Runtime runtime_;
  asio::thread_pool handlers_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(context_);
  std::thread loop_{[this] { context_.run(); }};  // Last: everything else is there when it begins.
};

}  // namespace tinf::sdk
