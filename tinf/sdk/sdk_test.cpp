// The face with its real threads: over an API server in this process, and through a real mosquitto by changing one
// line.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <set>
#include <thread>

#include "tinf/api/api_server.h"
#include "tinf/base/first_of.h"
#include "tinf/kube/kubeconfig.h"
#include "tinf/provider/provider.h"
#include "tinf/sdk/client.h"
#include "tinf/sdk/controller.h"
#include "tinf/sdk/informer.h"
#include "tinf/sdk/inside/engine.h"
#include "tinf/sdk/work_queue.h"
#include "tinf/store/versioned_memory/versioned_memory_store.h"
#include "tinf/testing/mosquitto_broker.h"
#include "tinf/wiring/cluster_source.h"
#include "tinf/wiring/transports.h"

namespace tinf::sdk {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr auto kPatience = 20s;

// What several threads write and the test waits for.
template <class T>
class Watched {
 public:
  template <class F>
  void change(F f) {
    std::lock_guard lock(mutex_);
    f(value_);
    changed_.notify_all();
  }
  bool wait(const std::function<bool(const T&)>& wanted) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return wanted(value_); });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  T value_{};
};

// An API server, and on demand a provider of it behind a broker.
class Site {
 public:
  Site() {
    engine_.run([](Site& site) -> Task<void> {
      const auto listening = co_await site.server_.listen();
      EXPECT_TRUE(listening);
    }(*this));
    char name[] = "/tmp/tinf-sdk-XXXXXX";
    kubeconfig_ = std::string(mkdtemp(name)) + "/kubeconfig";
    std::ofstream(kubeconfig_) << server_.kubeconfig("test");
    engine_.call([&] {
      tasks_ = std::make_unique<TaskGroup>(engine_.runtime().executor);
      tasks_->spawn(server_.run());
    });
  }
  ~Site() {
    engine_.run([](Site& site) -> Task<void> {
      if (site.provider_) co_await site.provider_->stop();
      co_await site.tasks_->stop();
      if (site.transport_) co_await site.transport_->close(std::nullopt);
      site.provider_ = nullptr;
      site.source_ = nullptr;
      site.transport_ = nullptr;
      site.tasks_ = nullptr;
    }(*this));
    unlink(kubeconfig_.c_str());
    rmdir(kubeconfig_.substr(0, kubeconfig_.rfind('/')).c_str());
  }

  Kubeconfig kubeconfig() const { return Kubeconfig{kubeconfig_, ""}; }
  Client client() { return Client::open(kubeconfig()).value(); }

  Broker broker() {
    mosquitto_.emplace();
    mosquitto_->start();
    Broker where;
    where.url = "127.0.0.1:" + std::to_string(mosquitto_->port());
    where.client_id = "hub";
    where.cluster = "c1";
    engine_.call([&] {
      kube::KubeconfigOptions options;
      options.path = kubeconfig_;
      source_ = std::make_unique<wiring::ClusterSource>(engine_.runtime(), kube::load_connection(options).value(),
                                                        wiring::OfferOptions(), false);
      ProviderOptions providing;
      providing.cluster = "c1";
      providing.instance = "p1";
      wiring::BrokerOptions connection;
      connection.url = where.url;
      connection.client_id = "provider";
      transport_ = wiring::open_transport(engine_.runtime(), connection, Provider::last_will(providing)).value();
      provider_ = std::make_unique<Provider>(engine_.runtime(), *transport_, providing,
                                             [this](Scope scope, StoreWriter& sink, SourceReport report) {
                                               return source_->reflect(std::move(scope), sink, std::move(report));
                                             });
      tasks_->spawn(source_->watch_offer([this](const auto& found) {
        provider_->offer(found.resources, found.cluster_uid, found.kubernetes_version);
      }));
      tasks_->spawn([](Provider& provider) -> Task<void> { (void)co_await provider.run(); }(*provider_));
    });
    return where;
  }

  ProviderCore::Counts provided() {
    return engine_.call([&] { return provider_->counts(); });
  }
  void stop_broker() { mosquitto_->stop(); }

  // What the broker holds of this topic; empty if there is none.
  std::string retained(const std::string& topic) {
    wiring::BrokerOptions connection;
    connection.url = "127.0.0.1:" + std::to_string(mosquitto_->port());
    connection.client_id = "onlooker";
    return engine_.run([](Engine& engine, wiring::BrokerOptions options, std::string filter) -> Task<std::string> {
      auto transport = wiring::open_transport(engine.runtime(), options, std::nullopt).value();
      (void)co_await transport->subscribe(std::move(filter));
      std::string body;
      const TimePoint end = engine.runtime().clock.now() + std::chrono::seconds(1);
      while (auto event = co_await within(engine.runtime().clock, end, transport->receive())) {
        if (const auto* message = std::get_if<Message>(&*event)) body = message->body;
      }
      co_await transport->close(std::nullopt);
      co_return body;
    }(engine_, std::move(connection), topic));
  }

 private:
  Engine engine_{Log()};
  RealClock clock_;
  VersionedMemoryStore store_{clock_};
  api::ApiServer server_{engine_.runtime(), store_, api::ApiOptions()};
  std::string kubeconfig_;
  std::optional<testing::MosquittoBroker> mosquitto_;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<wiring::ClusterSource> source_;
  std::unique_ptr<Provider> provider_;
  std::unique_ptr<TaskGroup> tasks_;
};

std::string config_map(const std::string& name, const std::string& color) {
  return R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":")" + name + R"(","labels":{"color":")" + color +
         R"("}},"data":{"k":"v"}})";
}

// Each test twice: directly, and through a broker.
class Face : public ::testing::TestWithParam<bool> {
 protected:
  Cluster cluster() {
    auto opened = GetParam() ? Cluster::open(site.broker()) : Cluster::open(site.kubeconfig());
    return std::move(opened).value();
  }
  Informer config_maps() {
    auto informer = Informer::open(cluster(), Query{"cm", "default", "", "", false});
    EXPECT_TRUE(informer) << informer.error().message;
    return std::move(informer).value();
  }

  Site site;
  Client client = site.client();
};

TEST_P(Face, TheCopyFollowsAndHandlersAreTold) {
  ASSERT_TRUE(client.create("configmaps", "default", config_map("a", "red")));
  Informer informer = config_maps();
  Watched<std::vector<std::string>> told;
  Handlers handlers;
  handlers.on_add = [&](const ObjectPtr& object, bool initial) {
    told.change([&](auto& lines) { lines.push_back((initial ? "=" : "+") + std::string(object->name())); });
  };
  handlers.on_update = [&](const ObjectPtr&, const ObjectPtr& now) {
    told.change([&](auto& lines) { lines.push_back("~" + std::string(now->name())); });
  };
  handlers.on_delete = [&](const ObjectPtr& last, bool) {
    told.change([&](auto& lines) { lines.push_back("-" + std::string(last->name())); });
  };
  handlers.on_synced = [&] { told.change([](auto& lines) { lines.push_back("synced"); }); };
  auto registration = informer.add(std::move(handlers));
  ASSERT_TRUE(registration);
  ASSERT_TRUE(informer.wait_synced(kPatience));
  ASSERT_TRUE(told.wait([](const auto& lines) { return lines.size() == 2; }));
  ASSERT_TRUE(client.create("ConfigMap", "default", config_map("b", "blue")));
  ASSERT_TRUE(told.wait([](const auto& lines) { return lines.size() == 3; }));
  ASSERT_TRUE(client.patch("cm", {"default", "b"}, R"({"data":{"k":"w"}})"));
  ASSERT_TRUE(told.wait([](const auto& lines) { return lines.size() == 4; }));
  ASSERT_TRUE(client.remove("cm", {"default", "a"}));
  EXPECT_TRUE(told.wait([](const auto& lines) {
    return lines == std::vector<std::string>{"=a", "synced", "+b", "~b", "-a"};
  }));
  EXPECT_EQ(informer.get({"default", "b"})->string_at("/data/k"), "w");
  EXPECT_EQ(informer.get({"default", "a"}), nullptr);
  EXPECT_TRUE(informer.live());
}

TEST_P(Face, AnIndexIsKeptAndASelectorSelects) {
  ASSERT_TRUE(client.create("configmaps", "default", config_map("a", "red")));
  ASSERT_TRUE(client.create("configmaps", "default", config_map("b", "blue")));
  Informer informer = config_maps();
  ASSERT_TRUE(informer.add_index("color", [](const Object& object) {
    return std::vector<std::string>{object.string_at("/metadata/labels/color").value_or("")};
  }));
  ASSERT_TRUE(informer.wait_synced(kPatience));
  EXPECT_THAT(*informer.by_index("color", "red"), SizeIs(1));
  EXPECT_THAT(*informer.list_matching("color in (red,blue)"), SizeIs(2));
  EXPECT_FALSE(informer.list_matching("color in ("));
  EXPECT_THAT(informer.by_index("size", "1").error().message, HasSubstr("color"));
  EXPECT_THAT(informer.list("elsewhere"), IsEmpty());
}

TEST_P(Face, OnesOwnWriteShowsAfterWaitingForIt) {
  Informer informer = config_maps();
  ASSERT_TRUE(informer.wait_synced(kPatience));
  const auto made = client.create("configmaps", "default", config_map("a", "red"));
  ASSERT_TRUE(made);
  ASSERT_TRUE(informer.wait_until(*made, kPatience));
  ASSERT_NE(informer.get({"default", "a"}), nullptr);
  const auto patched = client.patch("configmaps", {"default", "a"}, R"({"data":{"k":"x"}})");
  ASSERT_TRUE(patched);
  ASSERT_TRUE(informer.wait_until(*patched, kPatience));
  EXPECT_EQ(informer.get({"default", "a"})->resource_version(), (*patched)->resource_version());
  const auto checked = informer.verify(kPatience);
  ASSERT_TRUE(checked) << checked.error().message;
  EXPECT_THAT(*checked, IsEmpty());
}

TEST_P(Face, OnlyWhatIsAskedForIsKept) {
  ASSERT_TRUE(client.create("configmaps", "default", config_map("a", "red")));
  ASSERT_TRUE(client.create("configmaps", "default", config_map("b", "blue")));
  const Cluster where = cluster();
  Informer red = Informer::open(where, Query{"cm", "", "color=red", "", true}).value();
  InformerOptions cut;
  cut.transform = [](const ObjectPtr& object) -> Result<ObjectPtr> {
    if (object->name() == "b") return Error(Code::Invalid, "not this one");
    std::string text(object->raw());
    text.replace(text.find("\"k\":\"v\""), 7, "\"k\":\"-\"");
    return Object::parse(text);
  };
  Informer shortened = Informer::open(where, Query{"cm", "default", "", "", false}, std::move(cut)).value();
  ASSERT_TRUE(red.wait_synced(kPatience));
  ASSERT_TRUE(shortened.wait_synced(kPatience));
  ASSERT_THAT(red.list(), SizeIs(1));
  EXPECT_FALSE(red.list()[0]->string_at("/data/k"));
  EXPECT_EQ(red.list()[0]->string_at("/metadata/labels/color"), "red");
  ASSERT_THAT(shortened.list("default"), SizeIs(1));
  EXPECT_EQ(shortened.get({"default", "a"})->string_at("/data/k"), "-");
}

TEST_P(Face, AResyncShowsEverythingAgain) {
  ASSERT_TRUE(client.create("configmaps", "default", config_map("a", "red")));
  Informer informer = config_maps();
  Watched<int> again;
  Handlers handlers;
  handlers.on_update = [&](const ObjectPtr& old, const ObjectPtr& now) {
    if (old == now) again.change([](int& count) { ++count; });
  };
  auto registration = informer.add(std::move(handlers), 1s);
  ASSERT_TRUE(registration);
  EXPECT_TRUE(again.wait([](int count) { return count >= 1; }));
}

TEST_P(Face, AHandlerThatIsGoneIsToldNothing) {
  Informer informer = config_maps();
  ASSERT_TRUE(informer.wait_synced(kPatience));
  Watched<int> first, second;
  Handlers one, two;
  one.on_add = [&](const ObjectPtr&, bool) { first.change([](int& count) { ++count; }); };
  two.on_add = [&](const ObjectPtr&, bool) { second.change([](int& count) { ++count; }); };
  auto gone = std::optional<Registration>(std::move(informer.add(one)).value());
  auto stays = informer.add(two);
  gone.reset();
  ASSERT_TRUE(client.create("configmaps", "default", config_map("a", "red")));
  EXPECT_TRUE(second.wait([](int count) { return count == 1; }));
  EXPECT_TRUE(first.wait([](int count) { return count == 0; }));
}

TEST_P(Face, AHandlerMayAskItsInformerWhileItsRegistrationIsDropped) {
  Informer informer = config_maps();
  ASSERT_TRUE(informer.wait_synced(kPatience));
  Watched<bool> running;
  std::atomic<bool> returned = false;
  Handlers handlers;
  handlers.on_add = [&](const ObjectPtr&, bool) {
    running.change([](bool& now) { now = true; });
    for (int i = 0; i < 2000; ++i) EXPECT_TRUE(informer.synced());
    returned = true;
  };
  auto registration = std::optional<Registration>(std::move(informer.add(handlers)).value());
  ASSERT_TRUE(client.create("configmaps", "default", config_map("a", "red")));
  ASSERT_TRUE(running.wait([](bool now) { return now; }));
  registration.reset();
  EXPECT_TRUE(returned);
}

TEST_P(Face, AnInformerMayEndInItsOwnHandler) {
  ASSERT_TRUE(client.create("configmaps", "default", config_map("a", "red")));
  auto informer = std::make_unique<Informer>(config_maps());
  Watched<bool> ended;
  Registration registration;
  Handlers handlers;
  handlers.on_add = [&](const ObjectPtr&, bool) {
    registration = Registration();
    informer = nullptr;
    ended.change([](bool& done) { done = true; });
  };
  std::optional<Result<Registration>> added;
  {
    // The handler waits for the registration to be in its place.
    Watched<bool> placed;
    auto inner = std::move(handlers.on_add);
    handlers.on_add = [&placed, inner](const ObjectPtr& object, bool initial) {
      placed.wait([](bool there) { return there; });
      inner(object, initial);
    };
    registration = std::move(informer->add(std::move(handlers))).value();
    placed.change([](bool& there) { there = true; });
    EXPECT_TRUE(ended.wait([](bool done) { return done; }));
  }
}

TEST_P(Face, AControllerReconcilesEveryKeyAndNeverActsOnACopyOlderThanItsWrite) {
  for (int i = 0; i < 5; ++i)
    ASSERT_TRUE(client.create("configmaps", "default", config_map("o" + std::to_string(i), "red")));
  Informer informer = config_maps();
  Watched<std::set<std::string>> painted;
  Watched<int> stale;
  Controller* self = nullptr;
  Controller controller(
      informer,
      [&](const ObjectKey& key) -> Result<Outcome> {
        const ObjectPtr object = informer.get(key);
        if (object == nullptr || object->string_at("/metadata/labels/color") == "green") return Outcome::done();
        auto answer = client.patch("configmaps", key, R"({"metadata":{"labels":{"color":"green"}}})");
        if (!answer) return answer.error();
        self->wrote(*answer);
        self->add(key);  // At once: the gate keeps it until the copy shows green.
        painted.change([&](auto& names) {
          if (!names.insert(key.name).second) stale.change([](int& count) { ++count; });
        });
        return Outcome::done();
      },
      ControllerOptions{"painter", 3, kPatience, Log()});
  self = &controller;
  std::stop_source stop;
  std::optional<Result<void>> result;
  std::thread running([&] { result = controller.run(stop.get_token()); });
  EXPECT_TRUE(painted.wait([](const auto& names) { return names.size() == 5; }));
  ASSERT_TRUE(client.create("configmaps", "default", config_map("late", "red")));
  EXPECT_TRUE(painted.wait([](const auto& names) { return names.size() == 6; }));
  stop.request_stop();
  running.join();
  EXPECT_TRUE(*result);
  EXPECT_TRUE(stale.wait([](int count) { return count == 0; }));
}

TEST_P(Face, AControllerThatIsToStopBeforeItBeganReconcilesNothing) {
  ASSERT_TRUE(client.create("configmaps", "default", config_map("a", "red")));
  Controller controller(config_maps(), [](const ObjectKey&) -> Result<Outcome> {
    ADD_FAILURE() << "nobody asked for it";
    return Outcome::done();
  });
  std::stop_source stop;
  stop.request_stop();
  EXPECT_TRUE(controller.run(stop.get_token()));
}

TEST_P(Face, AnErrorIsTriedAgainAndARequeueComesBack) {
  ASSERT_TRUE(client.create("configmaps", "default", config_map("a", "red")));
  Informer informer = config_maps();
  Watched<int> attempts;
  Controller controller(informer, [&](const ObjectKey&) -> Result<Outcome> {
    int now = 0;
    attempts.change([&](int& count) { now = ++count; });
    if (now == 1) return Error(Code::Conflict, "once");
    if (now == 2) throw std::runtime_error("a bug");
    if (now == 3) return Outcome::requeue_after(1ms);
    return Outcome::done();
  });
  std::stop_source stop;
  std::thread running([&] { EXPECT_TRUE(controller.run(stop.get_token())); });
  EXPECT_TRUE(attempts.wait([](int count) { return count == 4; }));
  stop.request_stop();
  running.join();
}

TEST_P(Face, AControllerThatWaitsForItsFirstSetStopsWhenItIsAsked) {
  const Query refused{.resource = "configmaps", .field_selector = "data.k=v"};
  auto informer = Informer::open(cluster(), refused);
  ASSERT_TRUE(informer) << informer.error().message;
  ControllerOptions options;
  options.sync_patience = 1h;
  Controller controller(
      *informer, [](const ObjectKey&) -> Result<Outcome> { return Outcome::done(); }, options);
  std::stop_source stop;
  std::thread running([&] { EXPECT_TRUE(controller.run(stop.get_token())); });
  stop.request_stop();
  running.join();
  EXPECT_FALSE(informer->synced());
}

INSTANTIATE_TEST_SUITE_P(Sdk, Face, ::testing::Values(false, true),
                         [](const auto& how) { return how.param ? "BehindABroker" : "Directly"; });

class ThroughABroker : public ::testing::Test {
 protected:
  static bool eventually(const std::function<bool()>& wanted) {
    for (const auto end = std::chrono::steady_clock::now() + kPatience; std::chrono::steady_clock::now() < end;) {
      if (wanted()) return true;
      std::this_thread::sleep_for(20ms);
    }
    return false;
  }

  Site site;
  Client client = site.client();
  const Broker where = site.broker();
  const Query query{"cm", "default", "", "", false};
};

TEST_F(ThroughABroker, InformersOfOneQueryShareACopyAndOneLivesOnWithoutTheOther) {
  ASSERT_TRUE(client.create("configmaps", "default", config_map("a", "red")));
  const Cluster cluster = Cluster::open(where).value();
  auto first = std::make_unique<Informer>(Informer::open(cluster, query).value());
  Informer second = Informer::open(cluster, query).value();
  ASSERT_TRUE(first->wait_synced(kPatience));
  ASSERT_TRUE(second.wait_synced(kPatience));
  EXPECT_EQ(first->get({"default", "a"}), second.get({"default", "a"}));
  first = nullptr;
  ASSERT_TRUE(client.create("configmaps", "default", config_map("b", "red")));
  EXPECT_TRUE(eventually([&] { return second.size() == 2; }));

  InformerOptions cut;
  cut.transform = [](const ObjectPtr& object) -> Result<ObjectPtr> { return object; };
  const auto other = Informer::open(cluster, query, cut);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, Code::AlreadyExists);
  EXPECT_THAT(other.error().message, HasSubstr("configmaps"));
}

TEST_F(ThroughABroker, AnInformerMayFollowAnotherAtOnce) {
  ASSERT_TRUE(client.create("configmaps", "default", config_map("a", "red")));
  const Cluster cluster = Cluster::open(where).value();
  for (int life = 0; life < 5; ++life) {
    Informer informer = Informer::open(cluster, query).value();
    ASSERT_TRUE(informer.wait_synced(kPatience)) << life;
    EXPECT_EQ(informer.size(), 1u);
  }
}

TEST_F(ThroughABroker, ACompressedCopyIsReadSelectedAndIndexedLikeAPlainOne) {
  const auto large = [](int number, const std::string& color) {
    std::string value;
    while (value.size() < 4000) value += "word " + std::to_string(number * value.size() % 977) + " ";
    return R"({"metadata":{"name":"n)" + std::to_string(number) + R"(","labels":{"color":")" + color +
           R"("}},"data":{"v":")" + value + "\"}}";
  };
  for (int i = 0; i < 400; ++i) {  // Enough for a dictionary.
    ASSERT_TRUE(client.create("configmaps", "default", large(i, i % 2 == 0 ? "red" : "blue")));
  }
  const Cluster cluster = Cluster::open(where).value();
  InformerOptions compressed;
  compressed.store = "memory:?compress=true";
  Informer informer = Informer::open(cluster, query, compressed).value();
  std::atomic<int> updated = 0;
  Handlers handlers;
  handlers.on_update = [&](const ObjectPtr& old, const ObjectPtr& now) {
    if (old->uid() == now->uid() && old->raw() != now->raw()) ++updated;
  };
  const auto registration = informer.add(std::move(handlers)).value();
  ASSERT_TRUE(informer.add_index("color", [](const Object& object) {
    std::vector<std::string> values;
    for (const auto& [name, value] : object.labels()) values.push_back(value);
    return values;
  }));
  ASSERT_TRUE(informer.wait_synced(kPatience));
  EXPECT_NE(informer.get({"default", "n7"}), informer.get({"default", "n7"}));  // Each read makes it anew.
  const auto answer = client.patch("configmaps", {"default", "n7"}, R"({"metadata":{"labels":{"color":"red"}}})");
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_TRUE(eventually([&] { return updated == 1; }));
  EXPECT_EQ(informer.get({"default", "n7"})->raw(), (*answer)->raw());
  EXPECT_EQ(informer.list().size(), 400u);
  EXPECT_EQ(informer.list_matching("color=red").value().size(), 201u);
  EXPECT_EQ(informer.by_index("color", "red").value().size(), 201u);
  EXPECT_TRUE(informer.verify(kPatience).value().empty());

  // What was learnt serves the resource's next copy, however small, and no other resource's.
  Query few = query;
  few.label_selector = "color=red,few";
  ASSERT_TRUE(client.patch("configmaps", {"default", "n8"}, R"({"metadata":{"labels":{"few":"yes"}}})"));
  ASSERT_TRUE(client.create("services", "default", large(1, "red")));
  Informer small = Informer::open(cluster, few, compressed).value();
  Informer services = Informer::open(cluster, Query{.resource = "services"}, compressed).value();
  ASSERT_TRUE(small.wait_synced(kPatience));
  ASSERT_TRUE(services.wait_synced(kPatience));
  EXPECT_EQ(small.size(), 1u);
  EXPECT_NE(small.get({"default", "n8"}), small.get({"default", "n8"}));
  EXPECT_EQ(services.get({"default", "n1"}), services.get({"default", "n1"}));
}

TEST_F(ThroughABroker, AStoreThatThereIsNotIsNamedWithThoseThereAre) {
  InformerOptions wrong;
  wrong.store = "disk:";
  const auto informer = Informer::open(Cluster::open(where).value(), query, wrong);
  ASSERT_FALSE(informer);
  EXPECT_EQ(informer.error().code, Code::Invalid);
  EXPECT_THAT(informer.error().message, HasSubstr("\"disk:\" in memory; use memory: or memory:?compress=true"));
}

TEST_F(ThroughABroker, ATransformedCopyIsNotTakenForADamagedOne) {
  ASSERT_TRUE(client.create("configmaps", "default", config_map("a", "red")));
  const Cluster cluster = Cluster::open(where).value();
  InformerOptions cut;
  cut.transform = [](const ObjectPtr& object) -> Result<ObjectPtr> {
    std::string text(object->raw());
    text.replace(text.find("\"k\":\"v\""), 7, "\"k\":\"-\"");
    return Object::parse(text);
  };
  Informer informer = Informer::open(cluster, query, std::move(cut)).value();
  ASSERT_TRUE(informer.wait_synced(kPatience));
  const auto before = site.provided();
  std::this_thread::sleep_for(5s);  // The store's check comes every 200 ms, a repair in vain every two seconds.
  const auto after = site.provided();
  EXPECT_EQ(after.repairs, before.repairs);
  EXPECT_EQ(after.snapshots, 1u);
  EXPECT_EQ(informer.get({"default", "a"})->string_at("/data/k"), "-");
}

TEST_F(ThroughABroker, ACopyIsNotLiveWithoutItsProvider) {
  const Cluster cluster = Cluster::open(where).value();
  Informer informer = Informer::open(cluster, query).value();
  ASSERT_TRUE(informer.wait_synced(kPatience));
  ASSERT_TRUE(eventually([&] { return informer.live(); }));
  site.stop_broker();
  EXPECT_TRUE(eventually([&] { return !informer.live(); }));
  EXPECT_TRUE(informer.synced());
}

TEST_F(ThroughABroker, ASessionThatHasEndedIsNamedToThoseWhoWaitForIt) {
  const Cluster elder = Cluster::open(where).value();
  Informer followed = Informer::open(elder, query).value();
  ASSERT_TRUE(followed.wait_synced(kPatience));
  Informer refused = Informer::open(elder, Query{.resource = "cm", .field_selector = "data.k=v"}).value();
  // The source's own last words, which the end of the session outdoes.
  EXPECT_THAT(refused.wait_synced(kPatience).error().message, HasSubstr("field label"));
  const Cluster younger = Cluster::open(where).value();
  EXPECT_TRUE(eventually([&] { return !followed.live(); }));
  const auto synced = refused.wait_synced(1s);
  ASSERT_FALSE(synced);
  EXPECT_THAT(synced.error().message, HasSubstr("hub"));
  const auto late = Informer::open(elder, query, 1s);
  ASSERT_FALSE(late);
  EXPECT_THAT(late.error().message, HasSubstr("hub"));
}

TEST_F(ThroughABroker, TheRecordOfTheClientIdNamesTheHostAndLeavesWithTheCluster) {
  std::string host(256, 0);
  gethostname(host.data(), host.size() - 1);
  {
    const Cluster cluster = Cluster::open(where).value();
    Informer informer = Informer::open(cluster, query).value();
    ASSERT_TRUE(informer.wait_synced(kPatience));
    EXPECT_TRUE(
        eventually([&] { return site.retained("/signal/_client/hub").find(host.c_str()) != std::string::npos; }));
  }
  EXPECT_EQ(site.retained("/signal/_client/hub"), "");
}

TEST(FaceErrors, NameTheThing) {
  Site site;
  const Cluster cluster = Cluster::open(site.kubeconfig()).value();
  EXPECT_EQ(Informer::open(cluster, Query{"configmapz", "", "", "", false}).error().code, Code::NotFound);
  EXPECT_EQ(Informer::open(cluster, Query{"cm", "", "a in (", "", false}).error().code, Code::Invalid);
  EXPECT_THAT(Informer::open(cluster, Query{"namespaces", "x", "", "", false}).error().message,
              HasSubstr("namespaces"));
  EXPECT_THAT(Cluster::open(Kubeconfig{"/no/such/file", ""}).error().message, HasSubstr("/no/such/file"));
  EXPECT_EQ(Cluster::open(Broker{.url = "127.0.0.1:1", .client_id = "a/b", .cluster = "c1"}).error().code,
            Code::Invalid);
  EXPECT_EQ(Cluster::open(Broker{.url = "ftp://h", .client_id = "a", .cluster = "c1"}).error().code, Code::Invalid);
  const Cluster away =
      Cluster::open(
          Broker{.url = "127.0.0.1:" + std::to_string(testing::free_port()), .client_id = "a", .cluster = "c1"})
          .value();
  EXPECT_EQ(Informer::open(away, Query{"cm", "", "", "", false}, 1ms).error().code, Code::Unavailable);
}

TEST(BlockingWorkQueue, GivesAKeyToOneWorkerAtATimeAndOnceMoreIfItWasAddedMeanwhile) {
  WorkQueue queue;
  const ObjectKey key{"default", "a"};
  queue.add(key);
  queue.add(key);
  ASSERT_EQ(queue.get(), key);
  EXPECT_EQ(queue.size(), 0u);
  queue.add(key);
  EXPECT_EQ(queue.size(), 0u);
  queue.done(key);
  EXPECT_EQ(queue.size(), 1u);
  ASSERT_EQ(queue.get(), key);
  queue.add_rate_limited(key);
  queue.done(key);
  EXPECT_EQ(queue.get(), key);
  queue.forget(key);
  queue.done(key);
}

TEST(BlockingWorkQueue, LosesNothingBetweenManyThreadsAndEndsThemAllWhenShutDown) {
  WorkQueue queue;
  constexpr int kKeys = 200;
  Watched<std::set<std::string>> seen;
  std::vector<std::thread> workers;
  for (int i = 0; i < 4; ++i) {
    workers.emplace_back([&] {
      while (const auto key = queue.get()) {
        seen.change([&](auto& names) { names.insert(key->name); });
        queue.done(*key);
      }
    });
  }
  std::thread other([&] {
    for (int i = 0; i < kKeys; i += 2) queue.add_initial({"default", std::to_string(i)});
  });
  for (int i = 1; i < kKeys; i += 2) queue.add_after({"default", std::to_string(i)}, std::chrono::milliseconds(i % 3));
  other.join();
  EXPECT_TRUE(seen.wait([](const auto& names) { return names.size() == kKeys; }));
  queue.shut_down();
  for (std::thread& worker : workers) worker.join();
  queue.add({"default", "late"});
  EXPECT_EQ(queue.get(), std::nullopt);
}

TEST(ClientCalls, SayWhatTheServerSays) {
  Site site;
  Client client = site.client();
  const auto made = client.create("configmaps", "default", config_map("a", "red"));
  ASSERT_TRUE(made);
  EXPECT_EQ(client.create("configmaps", "default", config_map("a", "red")).error().code, Code::AlreadyExists);
  EXPECT_EQ((*client.get("configmaps", {"default", "a"}))->uid(), (*made)->uid());
  std::string text((*made)->raw());
  ASSERT_TRUE(client.replace("configmaps", {"default", "a"}, text));
  ASSERT_TRUE(client.patch("configmaps", {"default", "a"}, R"({"data":{"k":"x"}})"));
  EXPECT_EQ(client.replace("configmaps", {"default", "a"}, text).error().code, Code::Conflict);
  EXPECT_EQ(client.remove("configmaps", {"default", "a"}, "another").error().code, Code::Conflict);
  EXPECT_TRUE(client.remove("configmaps", {"default", "a"}, (*made)->uid()));
  EXPECT_EQ(client.get("configmaps", {"default", "a"}).error().code, Code::NotFound);
}

}  // namespace
}  // namespace tinf::sdk
