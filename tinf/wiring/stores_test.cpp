// Stores by the names that users give them.
#include "tinf/wiring/stores.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include "tinf/store/memory/memory_store.h"

namespace tinf::wiring {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const Resource kConfigMaps{"", "v1", "configmaps"};

TEST(Stores, KeepObjectsAsTheyCameUnlessTheyAreToBeCompressed) {
  auto plain = Stores::of(kDefaultStore).value().open(kConfigMaps);
  EXPECT_NE(dynamic_cast<MemoryStore*>(plain.get()), nullptr);
  auto compressed = Stores::of("memory:?compress=true").value().open(kConfigMaps);
  EXPECT_NE(dynamic_cast<CompressedMemoryStore*>(compressed.get()), nullptr);
}

// Of some 1 KiB, most of it common to all.
ObjectPtr large(int number) {
  std::string data;
  for (int i = 0; i < 30; ++i) {
    data += (i > 0 ? ",\"property." : "\"property.") + std::to_string(i) + "\":\"value " +
            std::to_string(number * i % 977) + " of many\"";
  }
  return Object::parse(R"({"metadata":{"name":"n)" + std::to_string(number) +
                       R"(","namespace":"default","uid":"u"},"data":{)" + data + "}}")
      .value();
}

// What the store takes with `count` objects in it.
std::size_t bytes_with(Store& store, int count) {
  Snapshot all;
  for (int i = 0; i < count; ++i) all.objects.push_back(large(i));
  asio::io_context loop;
  auto done = asio::co_spawn(loop, store.replace(std::move(all)), asio::use_future);
  loop.run();
  EXPECT_TRUE(done.get());
  return store.memory_bytes();
}

TEST(Stores, OfOneResourceShareWhatIsLearntAndOfAnotherDoNot) {
  auto stores = Stores::of("memory:?compress=true").value();
  const auto first = stores.open(kConfigMaps);
  EXPECT_LT(stores.learnt_bytes(), 1u << 10);
  bytes_with(*first, 2000);
  const std::size_t learnt = stores.learnt_bytes();
  EXPECT_GT(learnt, 32u << 10);
  const auto second = stores.open(kConfigMaps);
  const auto other = stores.open(Resource{"", "v1", "secrets"});
  const std::size_t whole = bytes_with(*Stores::of(kDefaultStore).value().open(kConfigMaps), 10);
  EXPECT_LT(bytes_with(*second, 10), whole / 2);
  EXPECT_GE(bytes_with(*other, 10), whole);
  EXPECT_LT(stores.learnt_bytes(), learnt + (64u << 10));
}

TEST(Stores, ForgetWhatIsLearntWithTheLastOfThem) {
  auto stores = Stores::of("memory:?compress=true").value();
  auto first = stores.open(kConfigMaps);
  bytes_with(*first, 2000);
  first = nullptr;
  EXPECT_EQ(stores.learnt_bytes(), 0u);
}

TEST(Stores, AnyOtherNameIsRefusedWithThoseThereAre) {
  for (const std::string name : {"", "memory", "memory:?", "memory:?compress=yes", "memory:?compress=true&x",
                                 "disk:", "memory://?compress=true", "MEMORY:", "sqlite:", "sqlite:///", "sqlite:a/"}) {
    const auto checked = check_store(name);
    ASSERT_FALSE(checked) << name;
    EXPECT_EQ(checked.error().code, Code::Invalid);
    EXPECT_THAT(checked.error().message, AllOf(HasSubstr('"' + name + '"'), HasSubstr("memory:?compress=true")));
  }
}

TEST(Stores, InAFileAreNamedByItsPath) {
  for (const std::string name : {"sqlite:fleet.db", "sqlite:///var/lib/fleet.db", "sqlite:/a.db?changes=1000",
                                 "sqlite:a.db?format=zstd&changes=7"}) {
    EXPECT_TRUE(check_store(name)) << name;
    EXPECT_THAT(Stores::of(name).error().message, HasSubstr("memory:"));
  }
  EXPECT_THAT(check_store("sqlite://fleet.db").error().message, HasSubstr("sqlite:fleet.db"));
  EXPECT_THAT(check_store("sqlite:a.db?changes=-1").error().message, HasSubstr("changes takes a number"));
  EXPECT_THAT(check_store("sqlite:a.db?format=xml").error().message, HasSubstr("format is json"));
  EXPECT_THAT(check_store("sqlite:a.db?cache=shared").error().message, HasSubstr("\"cache=shared\""));
}

TEST(Stores, InAPostgresDatabaseAreNamedByAnyUriOfIts) {
  for (const std::string name :
       {"postgresql://host/fleet", "postgres://me@h1:5432,h2:5433/fleet?target_session_attrs=read-write",
        "postgresql:///fleet?host=/run/postgresql&changes=1000&schema=tinf_2",
        "postgresql://h/d?sslmode=verify-full"}) {
    EXPECT_TRUE(check_store(name)) << name;
    EXPECT_TRUE(is_shared_store(name));
    EXPECT_FALSE(holds_password(name));
    EXPECT_FALSE(Stores::of(name));
  }
  EXPECT_THAT(check_store("postgresql://h/d?changes=0").error().message, HasSubstr("changes takes a number"));
  EXPECT_THAT(check_store("postgresql://h/d?schema=a.b").error().message, HasSubstr("schema takes a name"));
}

TEST(Stores, HaveAFormatWhereTheyAreDatabases) {
  EXPECT_EQ(*store_in_format("sqlite:a.db", "zstd"), "sqlite:a.db?format=zstd");
  EXPECT_EQ(*store_in_format("sqlite:a.db?changes=7", "json"), "sqlite:a.db?changes=7&format=json");
  EXPECT_EQ(*store_in_format("postgresql://h/d", "json"), "postgresql://h/d?format=json");
  EXPECT_THAT(store_in_format("sqlite:a.db", "xml").error().message, HasSubstr("format is json"));
  EXPECT_THAT(store_in_format("memory:", "zstd").error().message, HasSubstr("memory:?compress=true"));
}

TEST(Stores, NoMessageRepeatsAPassword) {
  for (const std::string name :
       {"postgresql://me:s3cret@[h/d", "postgresql://me:s3cret@h/d?colour=red", "postgresql://me:s3cret@h/d?changes=x",
        "postgresql://h/d?password=s3cret&changes=x", "postgress://me:s3@cret@h/d",
        "postgresql://me:a/s3cret@h/d?schema=-", "mysql://me:s3cret@h/d"}) {
    const auto checked = check_store(name);
    ASSERT_FALSE(checked) << name;
    EXPECT_THAT(checked.error().message, ::testing::Not(HasSubstr("cret"))) << name;
    EXPECT_THAT(Stores::of(name).error().message, ::testing::Not(HasSubstr("cret"))) << name;
  }
  EXPECT_TRUE(holds_password("postgresql://me:s3cret@h/d"));
  EXPECT_TRUE(holds_password("postgres://h/d?sslmode=require&password=s3cret"));
}

}  // namespace
}  // namespace tinf::wiring
