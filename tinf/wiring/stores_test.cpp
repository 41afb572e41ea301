// Stores by the names that users give them.
#include "tinf/wiring/stores.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

TEST(Stores, AnyOtherNameIsRefusedWithThoseThereAre) {
  for (const std::string name : {"", "memory", "memory:?", "memory:?compress=yes", "memory:?compress=true&x",
                                 "disk:", "memory://?compress=true", "MEMORY:"}) {
    const auto checked = check_store(name);
    ASSERT_FALSE(checked) << name;
    EXPECT_EQ(checked.error().code, Code::Invalid);
    EXPECT_THAT(checked.error().message, AllOf(HasSubstr('"' + name + '"'), HasSubstr("memory:?compress=true")));
  }
}

}  // namespace
}  // namespace tinf::wiring
