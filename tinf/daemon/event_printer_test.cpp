// What stands on stdout is read by programs: exactly these members, one line each, whatever an object holds.
#include "tinf/daemon/event_printer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <thread>

namespace tinf::daemon {
namespace {

using ::testing::ElementsAre;

ObjectPtr parsed(const std::string& json) {
  ParseOptions as_it_is;
  as_it_is.keep_managed_fields = true;
  return Object::parse(json, as_it_is).value();
}

const char* const kObject =
    "{\"kind\":\"Deployment\",\"metadata\":{\"name\":\"web\",\"namespace\":\"default\",\"uid\":\"u\","
    "\"resourceVersion\":\"812\","
    "\"managedFields\":[{\"manager\":\"m\"}]},\n\"spec\":{}}";

struct EventPrinterTest : ::testing::Test {
  EventPrinterTest() { EXPECT_EQ(pipe(ends), 0); }
  ~EventPrinterTest() override {
    close(ends[0]);
    if (ends[1] >= 0) close(ends[1]);
  }
  std::string written() {
    close(ends[1]);
    ends[1] = -1;
    std::string text;
    char buffer[4096];
    for (ssize_t got; (got = read(ends[0], buffer, sizeof buffer)) > 0;)
      text.append(buffer, static_cast<std::size_t>(got));
    return text;
  }

  int ends[2];
  const Resource deployments{"apps", "v1", "deployments"};
};

TEST_F(EventPrinterTest, ALineNamesClusterTypeResourceKeyAndVersion) {
  EventPrinter printer(OutputForm::Lines, false, ends[1]);
  printer.event("ADDED", "cluster1", deployments, *parsed(kObject));
  printer.synced("cluster1", deployments, 1);
  EXPECT_EQ(written(),
            "cluster1  ADDED  deployments.apps  default/web  rv=812\ncluster1  SYNCED  deployments.apps  1 object\n");
}

TEST_F(EventPrinterTest, ANameCannotForgeALineOrAColumn) {
  EventPrinter printer(OutputForm::Lines, false, ends[1]);
  const auto told = [&](const std::string& name) {
    printer.event("ADDED", "c", deployments,
                  *parsed(R"({"metadata":{"namespace":"n","resourceVersion":"1","name":")" + name + "\"}}"));
  };
  told(R"(a\u0026<é>:b)");
  told(R"(a\nc  DELETED)");
  told(R"(\u001b[2J\u007f\u009b2J\"\\)");
  EXPECT_EQ(written(),
            "c  ADDED  deployments.apps  n/a&<é>:b  rv=1\n"
            "c  ADDED  deployments.apps  \"n/a\\nc  DELETED\"  rv=1\n"
            "c  ADDED  deployments.apps  \"n/\\u001b[2J\\u007f\\u009b2J\\\"\\\\\"  rv=1\n");
}

TEST_F(EventPrinterTest, ANameInJsonIsItsText) {
  EventPrinter printer(OutputForm::Json, false, ends[1]);
  printer.event("ADDED", "c", deployments, *parsed(R"({"metadata":{"name":"a\u0026\"b\n"}})"));
  const std::string text = written();
  EXPECT_EQ(boost::json::parse(text).at("name"), "a&\"b\n");
  EXPECT_EQ(boost::json::parse(text).at("object").at("metadata").at("name"), "a&\"b\n");
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
}

TEST_F(EventPrinterTest, JsonHasExactlyTheDocumentedMembersOnOneLine) {
  EventPrinter printer(OutputForm::Json, false, ends[1]);
  printer.event("MODIFIED", "cluster1", deployments, *parsed(kObject));
  const std::string text = written();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  const auto line = boost::json::parse(text).as_object();
  std::vector<std::string> members;
  for (const auto& member : line) members.emplace_back(member.key());
  EXPECT_THAT(members, ElementsAre("type", "cluster", "group", "version", "resource", "namespace", "name",
                                   "resourceVersion", "object"));
  EXPECT_EQ(line.at("resourceVersion"), "812");
  EXPECT_FALSE(line.at("object").at("metadata").as_object().contains("managedFields"));
}

TEST_F(EventPrinterTest, ManagedFieldsOnRequest) {
  EventPrinter printer(OutputForm::Json, true, ends[1]);
  printer.event("ADDED", "cluster1", deployments, *parsed(kObject));
  EXPECT_TRUE(boost::json::parse(written()).at("object").at("metadata").as_object().contains("managedFields"));
}

TEST_F(EventPrinterTest, NoneWritesNothing) {
  EventPrinter printer(OutputForm::None, false, ends[1]);
  printer.event("ADDED", "cluster1", deployments, *parsed(kObject));
  printer.synced("cluster1", deployments, 1);
  EXPECT_EQ(written(), "");
}

TEST_F(EventPrinterTest, AReaderThatIsGoneIsNoticed) {
  std::signal(SIGPIPE, SIG_IGN);
  EventPrinter printer(OutputForm::Lines, false, ends[1]);
  close(ends[0]);
  printer.event("ADDED", "cluster1", deployments, *parsed(kObject));
  ASSERT_TRUE(printer.failure());
  EXPECT_EQ(printer.failure()->message, "stdout was closed by its reader");
  ends[0] = open("/dev/null", O_RDONLY);
}

TEST_F(EventPrinterTest, ADiskThatIsFullIsNamed) {
  const int full = open("/dev/full", O_WRONLY);
  EventPrinter printer(OutputForm::Lines, false, full);
  EXPECT_FALSE(printer.failure());
  printer.event("ADDED", "cluster1", deployments, *parsed(kObject));
  ASSERT_TRUE(printer.failure());
  EXPECT_EQ(printer.failure()->message, "stdout cannot be written: No space left on device");
  close(full);
}

// What reads a pipe slowly must not find half a line at its end.
TEST_F(EventPrinterTest, StopLetsALineThatWasBegunEndAndBeginsNoOther) {
  EventPrinter printer(OutputForm::Json, false, ends[1]);
  const ObjectPtr large = parsed(R"({"metadata":{"name":"large"},"data":")" + std::string(1 << 20, 'x') + "\"}");
  std::string text(1, '\0');
  std::thread writer([&] {
    printer.event("ADDED", "cluster1", deployments, *large);
    printer.event("ADDED", "cluster1", deployments, *parsed(kObject));
    close(std::exchange(ends[1], -1));
  });
  ASSERT_EQ(read(ends[0], text.data(), 1), 1);
  printer.stop();
  char buffer[4096];
  for (ssize_t got; (got = read(ends[0], buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<std::size_t>(got));
  writer.join();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  EXPECT_EQ(text.back(), '\n');
  EXPECT_EQ(boost::json::parse(text).at("name"), "large");
}

TEST_F(EventPrinterTest, JsonOfASyncedSetHasNoVersionOfItsOwn) {
  EventPrinter printer(OutputForm::Json, false, ends[1]);
  printer.synced("cluster1", deployments, 1);
  const auto line = boost::json::parse(written());
  EXPECT_EQ(line.at("type"), "SYNCED");
  EXPECT_EQ(line.at("resourceVersion"), "");
  EXPECT_TRUE(line.at("object").is_null());
}

TEST_F(EventPrinterTest, StopEndsAWriteThatNobodyReads) {
  EventPrinter printer(OutputForm::Json, false, ends[1]);
  const ObjectPtr large = parsed(R"({"metadata":{"name":"large"},"data":")" + std::string(1 << 20, 'x') + "\"}");
  std::thread writer([&] { printer.event("ADDED", "cluster1", deployments, *large); });
  printer.stop();
  writer.join();
}

}  // namespace
}  // namespace tinf::daemon
