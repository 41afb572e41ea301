// The suite that every Transport passes: what tinf/contract/transport.h promises, as seen by two clients of one broker.
// An implementation instantiates it with a harness that owns a broker and an event loop.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/post.hpp>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "tinf/contract/transport.h"

namespace tinf {

// A harness has:
//   static constexpr std::size_t kMaximumMessageBytes;              // Of every transport it makes.
//   std::unique_ptr<Transport> connect(std::string client_id, std::optional<Message> last_will);  // Connecting, maybe
//   not yet connected. void stop_broker(); void start_broker();                        // A broker that starts again
//   remembers nothing. template <class T> T await(Task<T> task);                       // Runs the loop until the task
//   ended; throws when that takes too long.
// and a broker that denies publishing and subscribing to everything below "forbidden/".
template <class Harness>
struct TransportContract : ::testing::Test {
  static Message message(std::string topic, std::string body, bool retain = false) {
    Message made;
    made.topic = std::move(topic);
    made.body = std::move(body);
    made.retain = retain;
    return made;
  }

  std::unique_ptr<Transport> open(std::string client_id, std::optional<Message> last_will = std::nullopt) {
    auto transport = harness.connect(std::move(client_id), std::move(last_will));
    harness.await(connected(*transport));
    return transport;
  }

  // Passes over everything else.
  static Task<TransportConnected> connected(Transport& transport) {
    while (true) {
      TransportEvent event = co_await transport.receive();
      if (auto* found = std::get_if<TransportConnected>(&event)) co_return *found;
    }
  }
  static Task<Error> disconnected(Transport& transport) {
    while (true) {
      TransportEvent event = co_await transport.receive();
      if (auto* found = std::get_if<TransportDisconnected>(&event)) co_return found->reason;
    }
  }
  static Task<Message> next_message(Transport& transport) {
    while (true) {
      TransportEvent event = co_await transport.receive();
      if (auto* found = std::get_if<Message>(&event)) co_return std::move(*found);
    }
  }

  Message next(Transport& transport) { return harness.await(next_message(transport)); }
  Result<void> publish(Transport& transport, Message message) {
    return harness.await(transport.publish(std::move(message)));
  }
  Result<void> subscribe(Transport& transport, std::string filter) {
    return harness.await(transport.subscribe(std::move(filter)));
  }

  static Task<bool> closed(Transport& transport, std::optional<Message> last_word) {
    co_await transport.close(std::move(last_word));
    co_return true;
  }

  // Returns when the broker has dealt with all that `transport` published before.
  void settle(Transport& transport) {
    expect_ok(subscribe(transport, "echo"));
    expect_ok(publish(transport, message("echo", "settled")));
    EXPECT_EQ(next(transport).body, "settled");
  }

  static void expect_ok(const Result<void>& result) { EXPECT_TRUE(result.has_value()) << result.error().message; }
  static void expect_error(const Result<void>& result, Code code, const std::string& named) {
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(to_string(result.error().code), to_string(code)) << result.error().message;
    EXPECT_THAT(result.error().message, ::testing::HasSubstr(named));
  }

  static Task<int> publish_many(Transport& transport, std::string topic, int count, std::size_t body_bytes) {
    int accepted = 0;
    for (int i = 0; i < count; ++i) {
      Message next = message(topic, std::to_string(i));
      next.body.resize(body_bytes, ' ');
      const Result<void> result = co_await transport.publish(std::move(next));
      if (result) ++accepted;
    }
    co_return accepted;
  }
  // The numbers that publish_many() put in front, until `count` different ones have come.
  static Task<std::set<int>> receive_many(Transport& transport, int count) {
    std::set<int> seen;
    while (static_cast<int>(seen.size()) < count) {
      const Message received = co_await next_message(transport);
      seen.insert(std::stoi(received.body));
    }
    co_return seen;
  }
  static Task<void> count_published(Transport& transport, std::string topic, int count, int& accepted) {
    accepted = co_await publish_many(transport, std::move(topic), count, 100);
  }
  static Task<std::set<int>> flood(Transport& from, Transport& to, std::string topic, int count, int& accepted) {
    TaskGroup sender(co_await asio::this_coro::executor);
    sender.spawn(count_published(from, std::move(topic), count, accepted));
    std::set<int> seen = co_await receive_many(to, count);
    co_await sender.join();
    co_return seen;
  }
  // Publishing may be refused only after the broker has answered an earlier message.
  static Task<Result<void>> publish_until_refused(Transport& transport, Message message) {
    while (true) {
      Result<void> result = co_await transport.publish(message);
      if (!result) co_return result;
      co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
    }
  }

  Harness harness;
};

TYPED_TEST_SUITE_P(TransportContract);

TYPED_TEST_P(TransportContract, ConnectedComesFirstAndSaysHowLargeAMessageMayBe) {
  auto transport = this->harness.connect("a", std::nullopt);
  EXPECT_FALSE(transport->connected());
  const TransportEvent first = this->harness.await(transport->receive());
  ASSERT_TRUE(std::holds_alternative<TransportConnected>(first));
  EXPECT_EQ(std::get<TransportConnected>(first).maximum_message_bytes, TypeParam::kMaximumMessageBytes);
  EXPECT_TRUE(transport->connected());
}

TYPED_TEST_P(TransportContract, AMessageArrivesWithAllItsParts) {
  auto a = this->open("a");
  auto b = this->open("b");
  this->expect_ok(this->subscribe(*b, "payload/one"));
  Message sent = this->message("payload/one", std::string("\0\xff{}", 4));
  sent.attributes = {{"type", "x.y"}, {"source", "gr\xc3\xbc\xc3\x9f"}, {"empty", ""}};
  sent.content_type = "application/json";
  this->expect_ok(this->publish(*a, sent));

  const Message got = this->next(*b);
  EXPECT_EQ(got.topic, sent.topic);
  EXPECT_EQ(got.body, sent.body);
  EXPECT_EQ(got.attributes, sent.attributes);
  EXPECT_EQ(got.content_type, sent.content_type);
  EXPECT_FALSE(got.retain);
}

TYPED_TEST_P(TransportContract, OnlyWhatMatchesAFilterArrivesAlsoAtItsSender) {
  auto a = this->open("a");
  this->expect_ok(this->subscribe(*a, "payload/+/stream/#"));
  this->expect_ok(this->publish(*a, this->message("payload/c1/reply/x", "no")));
  this->expect_ok(this->publish(*a, this->message("payload/c1/stream/x/y", "yes")));
  EXPECT_EQ(this->next(*a).body, "yes");
}

TYPED_TEST_P(TransportContract, AnEmptyBodyIsAMessageToo) {
  auto a = this->open("a");
  this->expect_ok(this->subscribe(*a, "t"));
  this->expect_ok(this->publish(*a, this->message("t", "")));
  EXPECT_EQ(this->next(*a).body, "");
}

TYPED_TEST_P(TransportContract, AFloodArrivesCompleteWhileSomebodyReceives) {
  auto a = this->open("a");
  auto b = this->open("b");
  this->expect_ok(this->subscribe(*b, "flood"));
  int accepted = 0;
  EXPECT_EQ(this->harness.await(this->flood(*a, *b, "flood", 2000, accepted)).size(), 2000u);
  EXPECT_EQ(accepted, 2000);
}

TYPED_TEST_P(TransportContract, ARetainedMessageReachesALateSubscriberMarkedAsKept) {
  auto a = this->open("a");
  this->expect_ok(this->publish(*a, this->message("presence/c1", "old", true)));
  this->expect_ok(this->publish(*a, this->message("presence/c1", "alive", true)));
  this->settle(*a);
  auto b = this->open("b");
  this->expect_ok(this->subscribe(*b, "presence/+"));
  const Message kept = this->next(*b);
  EXPECT_EQ(kept.body, "alive");
  EXPECT_TRUE(kept.retain);

  this->expect_ok(this->publish(*a, this->message("presence/c1", "live", true)));
  const Message live = this->next(*b);
  EXPECT_EQ(live.body, "live");
  EXPECT_FALSE(live.retain);
}

TYPED_TEST_P(TransportContract, AnEmptyRetainedMessageClearsWhatWasKept) {
  auto a = this->open("a");
  this->expect_ok(this->publish(*a, this->message("presence/c1", "alive", true)));
  this->expect_ok(this->publish(*a, this->message("presence/c1", "", true)));
  this->expect_ok(this->publish(*a, this->message("presence/c2", "other", true)));
  this->settle(*a);
  auto b = this->open("b");
  this->expect_ok(this->subscribe(*b, "presence/+"));
  EXPECT_EQ(this->next(*b).topic, "presence/c2");
}

TYPED_TEST_P(TransportContract, AClientThatVanishesLeavesItsLastWill) {
  auto watcher = this->open("watcher");
  this->expect_ok(this->subscribe(*watcher, "presence/#"));
  Message will = this->message("presence/c1", "dead", true);
  will.attributes = {{"type", "death"}};
  auto a = this->open("a", will);
  a.reset();
  const Message heard = this->next(*watcher);
  EXPECT_EQ(heard.body, "dead");
  EXPECT_EQ(heard.attributes, will.attributes);

  auto late = this->open("late");
  this->expect_ok(this->subscribe(*late, "presence/#"));
  EXPECT_TRUE(this->next(*late).retain);
}

TYPED_TEST_P(TransportContract, ClosingSendsTheLastWordInsteadOfTheLastWill) {
  auto watcher = this->open("watcher");
  this->expect_ok(this->subscribe(*watcher, "presence/#"));
  auto a = this->open("a", this->message("presence/c1", "dead", true));
  std::optional<Message> last_word = this->message("presence/c1", "stopped", true);
  this->harness.await(this->closed(*a, last_word));
  a.reset();
  EXPECT_EQ(this->next(*watcher).body, "stopped");
  this->expect_ok(this->publish(*watcher, this->message("presence/end", "end")));
  EXPECT_EQ(this->next(*watcher).body, "end");
}

TYPED_TEST_P(TransportContract, WhatWasPublishedBeforeClosingArrives) {
  auto watcher = this->open("watcher");
  this->expect_ok(this->subscribe(*watcher, "t"));
  auto a = this->open("a");
  this->expect_ok(this->subscribe(*a, "t"));  // What comes back to it lies unread when it closes.
  EXPECT_EQ(this->harness.await(this->publish_many(*a, "t", 300, 10000)), 300);
  this->harness.await(this->closed(*a, std::nullopt));
  a.reset();
  EXPECT_EQ(this->harness.await(this->receive_many(*watcher, 300)).size(), 300u);
}

TYPED_TEST_P(TransportContract, AClosedTransportSaysSoOnceAndPublishesNothing) {
  auto a = this->open("a");
  this->harness.await(this->closed(*a, std::nullopt));
  this->harness.await(this->closed(*a, std::nullopt));
  EXPECT_FALSE(a->connected());
  EXPECT_EQ(this->harness.await(this->disconnected(*a)).code, Code::Cancelled);
  this->expect_error(this->publish(*a, this->message("t", "x")), Code::Unavailable, "t");
}

TYPED_TEST_P(TransportContract, TheLargestMessagePassesAndOneByteMoreIsInvalid) {
  auto a = this->open("a");
  this->expect_ok(this->subscribe(*a, "large"));
  for (const std::size_t above : {1u, 4u}) {
    Message sent = this->message("large", "");
    sent.attributes = {{"type", "large"}};
    sent.body.resize(TypeParam::kMaximumMessageBytes - message_bytes(sent), 'x');
    EXPECT_EQ(message_bytes(sent), TypeParam::kMaximumMessageBytes);
    this->expect_ok(this->publish(*a, sent));
    EXPECT_EQ(this->next(*a).body, sent.body);
    sent.body.append(above, 'y');
    this->expect_error(this->publish(*a, sent), Code::Invalid, "large");
  }
  EXPECT_TRUE(a->connected());
}

TYPED_TEST_P(TransportContract, SubscriptionsAreBackBeforeConnectedIsSaidAgain) {
  auto a = this->open("a");
  this->expect_ok(this->subscribe(*a, "t/1"));
  this->expect_ok(this->subscribe(*a, "t/2/#"));
  this->harness.stop_broker();
  EXPECT_EQ(this->harness.await(this->disconnected(*a)).code, Code::Unavailable);
  EXPECT_FALSE(a->connected());
  this->harness.start_broker();
  this->harness.await(this->connected(*a));
  this->expect_ok(this->publish(*a, this->message("t/1", "one")));
  this->expect_ok(this->publish(*a, this->message("t/2/x", "two")));
  EXPECT_EQ(this->next(*a).body, "one");
  EXPECT_EQ(this->next(*a).body, "two");
}

TYPED_TEST_P(TransportContract, PublishingWhileDisconnectedIsUnavailableAndKeepsNothing) {
  auto a = this->open("a");
  this->expect_ok(this->subscribe(*a, "t"));
  this->harness.stop_broker();
  this->harness.await(this->disconnected(*a));
  this->expect_error(this->publish(*a, this->message("t", "lost")), Code::Unavailable, "t");
  this->harness.start_broker();
  this->harness.await(this->connected(*a));
  this->expect_ok(this->publish(*a, this->message("t", "kept")));
  EXPECT_EQ(this->next(*a).body, "kept");
}

TYPED_TEST_P(TransportContract, SubscribingWhileDisconnectedTakesEffectAtTheNextConnect) {
  this->harness.stop_broker();
  auto a = this->harness.connect("a", std::nullopt);
  this->expect_ok(this->subscribe(*a, "early/+"));
  this->harness.start_broker();
  this->harness.await(this->connected(*a));
  this->expect_ok(this->publish(*a, this->message("early/1", "bird")));
  EXPECT_EQ(this->next(*a).body, "bird");
}

TYPED_TEST_P(TransportContract, AnUnsubscribedFilterBringsNothingAlsoAfterAReconnect) {
  auto a = this->open("a");
  this->expect_ok(this->subscribe(*a, "old"));
  this->expect_ok(this->subscribe(*a, "new"));
  this->expect_ok(this->harness.await(a->unsubscribe("old")));
  for (int round = 0; round < 2; ++round) {
    this->expect_ok(this->publish(*a, this->message("old", "no")));
    this->expect_ok(this->publish(*a, this->message("new", "yes")));
    EXPECT_EQ(this->next(*a).body, "yes");
    if (round == 1) break;
    this->harness.stop_broker();
    this->harness.await(this->disconnected(*a));
    this->harness.start_broker();
    this->harness.await(this->connected(*a));
  }
}

TYPED_TEST_P(TransportContract, ADeniedSubscriptionIsForbiddenByName) {
  auto a = this->open("a");
  this->expect_error(this->subscribe(*a, "forbidden/x"), Code::Forbidden, "forbidden/x");
  this->expect_ok(this->subscribe(*a, "allowed"));
  EXPECT_TRUE(a->connected());
}

TYPED_TEST_P(TransportContract, ADeniedSubscriptionMadeWhileDisconnectedEndsInDisconnected) {
  this->harness.stop_broker();
  auto a = this->harness.connect("a", std::nullopt);
  this->expect_ok(this->subscribe(*a, "forbidden/x"));
  this->harness.start_broker();
  Error reason = this->harness.await(this->disconnected(*a));
  if (reason.code == Code::Unavailable)
    reason = this->harness.await(this->disconnected(*a));  // That the broker was away.
  EXPECT_EQ(reason.code, Code::Forbidden) << reason.message;
  EXPECT_THAT(reason.message, ::testing::HasSubstr("forbidden/x"));
}

TYPED_TEST_P(TransportContract, ADeniedTopicBecomesForbiddenByName) {
  auto a = this->open("a");
  this->expect_error(this->harness.await(this->publish_until_refused(*a, this->message("forbidden/x", "x"))),
                     Code::Forbidden, "forbidden/x");
  this->expect_ok(this->publish(*a, this->message("allowed", "x")));
}

TYPED_TEST_P(TransportContract, ASecondClientWithTheSameIdTakesOver) {
  auto first = this->open("same", this->message("presence/same", "first is gone"));
  auto watcher = this->open("watcher");
  this->expect_ok(this->subscribe(*watcher, "presence/#"));
  auto second = this->open("same");
  EXPECT_TRUE(second->connected());
  this->harness.await(this->disconnected(*first));
  EXPECT_EQ(this->next(*watcher).body, "first is gone");
}

REGISTER_TYPED_TEST_SUITE_P(TransportContract, ConnectedComesFirstAndSaysHowLargeAMessageMayBe,
                            AMessageArrivesWithAllItsParts, OnlyWhatMatchesAFilterArrivesAlsoAtItsSender,
                            AnEmptyBodyIsAMessageToo, AFloodArrivesCompleteWhileSomebodyReceives,
                            ARetainedMessageReachesALateSubscriberMarkedAsKept, AnEmptyRetainedMessageClearsWhatWasKept,
                            AClientThatVanishesLeavesItsLastWill, ClosingSendsTheLastWordInsteadOfTheLastWill,
                            WhatWasPublishedBeforeClosingArrives, AClosedTransportSaysSoOnceAndPublishesNothing,
                            TheLargestMessagePassesAndOneByteMoreIsInvalid,
                            SubscriptionsAreBackBeforeConnectedIsSaidAgain,
                            PublishingWhileDisconnectedIsUnavailableAndKeepsNothing,
                            SubscribingWhileDisconnectedTakesEffectAtTheNextConnect,
                            AnUnsubscribedFilterBringsNothingAlsoAfterAReconnect, ADeniedSubscriptionIsForbiddenByName,
                            ADeniedSubscriptionMadeWhileDisconnectedEndsInDisconnected,
                            ADeniedTopicBecomesForbiddenByName, ASecondClientWithTheSameIdTakesOver);

}  // namespace tinf
