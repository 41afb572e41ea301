// The foundations: time, signals, tasks, backoff, results, metrics.
#include <gtest/gtest.h>

#include "tinf/base/base64.h"
#include "tinf/base/first_of.h"
#include "tinf/base/listen_address.h"
#include "tinf/base/result.h"
#include "tinf/testing/virtual_time.h"

namespace tinf {
namespace {

using namespace std::chrono_literals;
using testing::VirtualTime;

Task<void> sleep_then_append(Clock& clock, Duration how_long, std::vector<int>& order, int number) {
  co_await clock.sleep_for(how_long);
  order.push_back(number);
}

TEST(Clock, SleepersWakeInTheOrderOfTheirDeadlines) {
  VirtualTime time;
  std::vector<int> order;
  time.spawn(sleep_then_append(time, 2h, order, 2));
  time.spawn(sleep_then_append(time, 1h, order, 1));
  time.run_for(3h);
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

Task<void> wait_for_signal(Signal& signal, Clock& clock, Duration limit, std::optional<bool>& notified) {
  notified = co_await signal.wait_until(clock, clock.now() + limit);
}

TEST(Signal, WakesAWaiterBeforeItsDeadline) {
  VirtualTime time;
  Signal signal;
  std::optional<bool> notified;
  time.spawn(wait_for_signal(signal, time, 1h, notified));
  time.run_for(1s);
  EXPECT_FALSE(notified.has_value());
  signal.notify();
  time.run_for(1s);
  EXPECT_EQ(notified, true);
}

TEST(Signal, RemembersANotificationThatNobodyWaitedFor) {
  VirtualTime time;
  Signal signal;
  signal.notify();
  std::optional<bool> notified;
  time.spawn(wait_for_signal(signal, time, 1h, notified));
  time.run_for(1s);
  EXPECT_EQ(notified, true);
}

TEST(Signal, SaysSoWhenTheDeadlineCameFirst) {
  VirtualTime time;
  Signal signal;
  std::optional<bool> notified;
  time.spawn(wait_for_signal(signal, time, 1s, notified));
  time.run_for(2s);
  EXPECT_EQ(notified, false);
}

struct SetOnExit {
  explicit SetOnExit(bool& f) : flag(f) {}
  ~SetOnExit() { flag = true; }
  bool& flag;
};

Task<void> sleep_for_ever(Clock& clock, bool& unwound) {
  SetOnExit guard(unwound);
  co_await clock.sleep_for(10000h);
}

Task<void> stop_group(TaskGroup& group, bool& stopped) {
  co_await group.stop();
  stopped = true;
}

TEST(TaskGroup, StopUnwindsSleepingTasksBeforeItReturns) {
  VirtualTime time;
  TaskGroup group(time.runtime().executor);
  bool unwound = false;
  bool stopped = false;
  group.spawn(sleep_for_ever(time, unwound));
  time.run_for(1s);
  EXPECT_EQ(group.running(), 1u);
  time.spawn(stop_group(group, stopped));
  time.run_for(0s);
  EXPECT_TRUE(unwound);
  EXPECT_TRUE(stopped);
  EXPECT_EQ(group.running(), 0u);
}

Task<void> note(bool& done) {
  done = true;
  co_return;
}

TEST(TaskGroup, CancelsATaskThatEndedWithoutItsGroupHavingHeardYet) {
  asio::io_context context;
  TaskGroup group(context.get_executor());
  bool done = false;
  group.spawn(note(done));
  while (!done) context.poll_one();
  group.cancel();  // The address sanitizer would see a signal that died too early.
  context.poll();
  EXPECT_EQ(group.running(), 0u);
}

Task<int> number_after(Clock& clock, Duration how_long, int number, bool& unwound) {
  SetOnExit guard(unwound);
  co_await clock.sleep_for(how_long);
  co_return number;
}

TEST(TaskGroup, StartsATaskAtOnceFromItsExecutorAndLaterFromOutside) {
  asio::io_context context;
  TaskGroup group(context.get_executor());
  bool outside = false;
  bool inside = false;
  const auto note = [](bool& started) -> Task<void> {
    started = true;
    co_return;
  };
  group.spawn(note(outside));
  EXPECT_FALSE(outside);
  asio::post(context, [&] {
    EXPECT_TRUE(outside);
    group.spawn(note(inside));
    EXPECT_TRUE(inside);
  });
  context.run();
}

TEST(FirstOf, GivesTheFirstResultAndUnwindsTheOther) {
  VirtualTime time;
  bool first = false;
  bool second = false;
  const auto won = time.await(first_of(number_after(time, 2h, 1, first), number_after(time, 1h - 1s, 2, second)));
  EXPECT_EQ(std::get<1>(won), 2);
  EXPECT_TRUE(first);
  EXPECT_EQ(time.await(within(time, time.now() + 1s, number_after(time, 2s, 3, first))), std::nullopt);
  EXPECT_EQ(time.await(within(time, time.now() + 3s, number_after(time, 2s, 3, first))), 3);
}

Task<void> race_for_ever(Clock& clock, bool& first, bool& second) {
  co_await first_of(sleep_for_ever(clock, first), sleep_for_ever(clock, second));
}

Task<int> fail_after(Clock& clock, Duration how_long) {
  co_await clock.sleep_for(how_long);
  throw std::logic_error("a bug");
}

Task<void> fail_when_cancelled(Clock& clock) {
  try {
    co_await clock.sleep_for(1h);
  } catch (const boost::system::system_error&) {
    throw std::logic_error("a bug in unwinding");
  }
}

TEST(FirstOf, HidesNoExceptionOfEither) {
  VirtualTime time;
  bool unwound = false;
  EXPECT_THROW(time.await(first_of(fail_after(time, 1s), number_after(time, 1h, 1, unwound))), std::logic_error);
  EXPECT_TRUE(unwound);
  EXPECT_THROW(time.await(first_of(number_after(time, 1s, 1, unwound), fail_when_cancelled(time))), std::logic_error);
}

TEST(FirstOf, UnwindsBothWhenItIsCancelled) {
  VirtualTime time;
  bool first = false;
  bool second = false;
  bool stopped = false;
  TaskGroup group(time.runtime().executor);
  group.spawn(race_for_ever(time, first, second));
  time.run_for(1s);
  time.spawn(stop_group(group, stopped));
  time.run_for(0s);
  EXPECT_TRUE(first && second && stopped);
}

Task<void> sleep_and_note(Clock& clock, bool& went_on) {
  co_await clock.sleep_for(10000h);
  went_on = true;
}

TEST(Signal, NeverLetsACancelledWaiterGoOn) {
  VirtualTime time;
  bool went_on = false;
  bool stopped = false;
  TaskGroup group(time.runtime().executor);
  group.spawn(sleep_and_note(time, went_on));
  time.run_for(1s);
  time.spawn(stop_group(group, stopped));
  time.run_for(0s);
  EXPECT_TRUE(stopped);
  EXPECT_FALSE(went_on);
}

TEST(Backoff, DoublesToItsMaximumAndForgetsAfterHealth) {
  VirtualTime time;
  Random random(1);
  BackoffOptions options;
  options.jitter = 0;
  Backoff backoff(time, random, options);
  EXPECT_EQ(backoff.next(), 800ms);
  EXPECT_EQ(backoff.next(), 1600ms);
  for (int i = 0; i < 10; ++i) (void)backoff.next();
  EXPECT_EQ(backoff.next(), 30s);
  time.run_for(3min);
  EXPECT_EQ(backoff.next(), 800ms);
}

TEST(Backoff, StaysWithinItsJitter) {
  VirtualTime time;
  Random random(7);
  Backoff backoff(time, random);
  for (int i = 0; i < 1000; ++i) {
    const Duration wait = backoff.next();
    EXPECT_GE(wait, 800ms);
    EXPECT_LE(wait, 60s);
  }
}

TEST(Metrics, ASeriesLeavesWithItsLastHolder) {
  Metrics metrics;
  {
    auto counter = metrics.counter("tinf_events_total", "Events.", {{"cluster", "c1"}});
    metrics.counter("tinf_events_total", "Events.", {{"cluster", "c1"}})->add(3);
    const auto families = metrics.collect();
    ASSERT_EQ(families.size(), 1u);
    EXPECT_EQ(families[0].samples[0].value, 3);
  }
  EXPECT_TRUE(metrics.collect().empty());
}

TEST(Metrics, AHistogramCountsWhatIsNoGreaterThanEachBound) {
  Metrics metrics;
  const auto held = metrics.histogram("tinf_wait_seconds", "Waits.", {0.5, 1}, {{"verb", "get"}});
  for (const double value : {0.25, 0.5, 0.75, 8.0}) held->observe(value);
  const auto families = metrics.collect();
  ASSERT_EQ(families.size(), 1u);
  EXPECT_EQ(families[0].kind, Metrics::Kind::Histogram);
  EXPECT_EQ(families[0].samples[0].bounds, (std::vector<double>{0.5, 1}));
  EXPECT_EQ(families[0].samples[0].cumulative, (std::vector<std::uint64_t>{2, 3, 4}));
  EXPECT_EQ(families[0].samples[0].value, 9.5);
}

TEST(Error, CodesAndStatusesAgree) {
  for (const Code code : {Code::NotFound, Code::Expired, Code::Invalid, Code::Unauthorized, Code::Forbidden,
                          Code::TooManyRequests, Code::Unavailable, Code::Timeout, Code::Internal}) {
    EXPECT_EQ(code_from_http_status(http_status(code)), code) << to_string(code);
  }
}

TEST(ListenAddress, IsNumericOrLocalhostAndSaysHowToWriteIt) {
  EXPECT_EQ(parse_listen_address("127.0.0.1:0")->port(), 0);
  EXPECT_EQ(parse_listen_address("localhost:80")->address().to_string(), "127.0.0.1");
  EXPECT_EQ(parse_listen_address("[::1]:8443")->address().to_string(), "::1");
  for (const char* text : {"", "8080", "h:80", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:-1", ":80"}) {
    const auto refused = parse_listen_address(text);
    ASSERT_FALSE(refused) << text;
    EXPECT_NE(refused.error().message.find("127.0.0.1:8080"), std::string::npos) << text;
  }
}

TEST(Base64, GoesBothWays) {
  for (const std::string text : {"", "a", "ab", "abc", "abcd", "\xff\xfe\x01\x02"})
    EXPECT_EQ(base64_decode(base64_encode(text)), text);
  EXPECT_EQ(base64_encode("Aladdin:open sesame"), "QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
  EXPECT_EQ(base64_decode("YW\n Jj"), "abc");
  EXPECT_EQ(base64_decode("YQ"), "a");
  for (const char* text : {"Y", "YQ=", "Y===", "Y!Jj", "YQ==YQ=="})
    EXPECT_EQ(base64_decode(text), std::nullopt) << text;
}

}  // namespace
}  // namespace tinf
