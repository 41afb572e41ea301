// Command lines as users write them, with the environment and a configuration file behind them.
#include "tinf/daemon/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

namespace tinf::daemon {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct OptionsTest : ::testing::Test {
  OptionsTest() {
    unsetenv("BROKER");
    char name[] = "/tmp/tinf-options-XXXXXX";
    folder = mkdtemp(name);
  }
  ~OptionsTest() override {
    unsetenv("BROKER");
    for (const std::string& file : files) unlink(file.c_str());
    rmdir(folder.c_str());
  }

  std::string file(const std::string& name, const std::string& text) {
    files.push_back(folder + "/" + name);
    std::ofstream(files.back()) << text;
    return files.back();
  }

  template <class Options>
  Parsed<Options> parse(Parsed<Options> (*parser)(int, char**), std::vector<std::string> words) {
    words.insert(words.begin(), "program");
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    ::testing::internal::CaptureStderr();
    auto parsed = parser(static_cast<int>(arguments.size()), arguments.data());
    said = ::testing::internal::GetCapturedStderr();
    return parsed;
  }
  ProviderDaemonOptions provider(std::vector<std::string> words) {
    auto parsed = parse(parse_provider, std::move(words));
    EXPECT_TRUE(std::holds_alternative<ProviderDaemonOptions>(parsed)) << said;
    return std::get<ProviderDaemonOptions>(parsed);
  }
  InformerDaemonOptions informer(std::vector<std::string> words) {
    auto parsed = parse(parse_informer, std::move(words));
    EXPECT_TRUE(std::holds_alternative<InformerDaemonOptions>(parsed)) << said;
    return std::get<InformerDaemonOptions>(parsed);
  }
  // The exit code and, in `said`, one line about why.
  int refused(std::vector<std::string> words) {
    auto parsed = parse(parse_informer, std::move(words));
    if (!std::holds_alternative<int>(parsed)) return 0;
    EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
    return std::get<int>(parsed);
  }

  std::string folder;
  std::vector<std::string> files;
  std::string said;
};

TEST_F(OptionsTest, TheLinesThatUsersKnow) {
  const auto options = provider({"--broker", "tcp://127.0.0.1:1883", "--client-id", "sourceId", "--signal", "/signal",
                                 "--payload", "/payload", "--cluster", "cluster1"});
  EXPECT_EQ(options.common.broker.url, "tcp://127.0.0.1:1883");
  EXPECT_EQ(options.common.broker.client_id, "sourceId");
  EXPECT_EQ(options.cluster, "cluster1");
  EXPECT_EQ(options.common.broker.qos, 1);
}

TEST_F(OptionsTest, ServesToOthersOnlyBehindTlsAndTokens) {
  EXPECT_FALSE(informer({"-b", "h:1"}).serve);
  for (const std::string address : {"127.0.0.1:0", "[::1]:8080", "localhost:1"}) {
    EXPECT_EQ(informer({"-b", "h:1", "--serve", address}).serve->api.listen, address);
  }
  const std::string pem = file("a.pem", ""), tokens = file("tokens", "x"), rules = file("rules", "rules: []");
  const std::vector<std::string> open{"-b", "h:1", "--serve", "0.0.0.0:8443"};
  const auto with = [&](std::vector<std::string> more) {
    auto words = open;
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  EXPECT_EQ(refused(open), 2);
  EXPECT_THAT(said, HasSubstr("--serve 0.0.0.0:8443 can be reached by others"));
  EXPECT_EQ(refused(with({"--token-file", tokens})), 2);
  EXPECT_EQ(refused(with({"--tls-cert", pem, "--tls-key", pem})), 2);
  EXPECT_EQ(refused(with({"--tls-cert", pem, "--token-file", tokens})), 2);
  EXPECT_THAT(said, HasSubstr("--tls-cert and --tls-key belong together"));
  const std::vector<std::string> known{"--tls-cert", pem, "--tls-key", pem, "--token-file", tokens};
  const auto known_and = [&](std::vector<std::string> more) {
    more.insert(more.begin(), known.begin(), known.end());
    return with(more);
  };
  EXPECT_EQ(refused(known_and({})), 2);
  EXPECT_THAT(said, HasSubstr("it needs --authorization-file, or --authorization-mode AlwaysAllow"));
  EXPECT_EQ(refused(known_and({"--authorization-mode", "File"})), 2);
  EXPECT_EQ(refused(known_and({"--authorization-mode", "AlwaysAllow", "--authorization-file", rules})), 2);
  EXPECT_TRUE(informer(known_and({"--authorization-mode", "AlwaysAllow"})).serve->always_allow);
  const auto served = *informer(known_and({"--authorization-file", rules, "--tls-min-version", "VersionTLS13"})).serve;
  EXPECT_EQ(served.api.token_file, tokens);
  EXPECT_EQ(served.api.minimum_tls, api::TlsVersion::Tls13);
  EXPECT_EQ(refused({"-b", "h:1", "--serve", "example.com"}), 2);
  EXPECT_THAT(said, HasSubstr("address:port"));
  EXPECT_EQ(refused({"-b", "h:1", "--token-file", tokens}), 2);
  EXPECT_THAT(said, HasSubstr("give --serve too"));
  // What would mean nothing, or less than its writer thinks.
  const std::vector<std::string> local{"-b", "h:1", "--serve", "127.0.0.1:0"};
  const auto locally = [&](std::vector<std::string> more) {
    more.insert(more.begin(), local.begin(), local.end());
    return more;
  };
  EXPECT_EQ(refused(locally({"--authorization-file", rules})), 2);
  EXPECT_THAT(said, HasSubstr("rules are about who calls"));
  EXPECT_EQ(refused(locally({"--client-ca", pem})), 2);
  EXPECT_THAT(said, HasSubstr("in TLS only"));
  EXPECT_EQ(refused(locally({"--token-file", tokens, "--anonymous-auth"})), 2);
  EXPECT_THAT(said, HasSubstr("--anonymous-auth"));
  EXPECT_EQ(refused(locally({"--tls-min-version", "VersionTLS11"})), 2);
}

TEST_F(OptionsTest, APasswordOfAStoreMayStandInAFileButNotOnTheCommandLine) {
  const std::string store = "postgresql://me:hunter2@h/fleet";
  EXPECT_EQ(refused({"-b", "h:1", "--store", store}), 2);
  EXPECT_THAT(said, HasSubstr("PGPASSWORD"));
  EXPECT_EQ(said.find("hunter2"), std::string::npos);
  EXPECT_EQ(refused({"-b", "h:1", "--store=" + store}), 2);
  EXPECT_EQ(informer({"--config", file("a.yaml", "broker: h:1\nstore: " + store + "\n")}).store, store);
  EXPECT_EQ(refused({"--config", file("b.yaml", "broker: h:1\nstore: " + store + "?speed=high\n")}), 2);
  EXPECT_EQ(said.find("hunter2"), std::string::npos) << said;
}

TEST_F(OptionsTest, WithoutABrokerItServesASharedStoreAndNothingElse) {
  const std::vector<std::string> replica{"--store", "postgresql://reader@h/fleet", "--serve", "127.0.0.1:0"};
  const auto options = informer(replica);
  EXPECT_EQ(options.common.broker.url, "");
  EXPECT_EQ(options.store, "postgresql://reader@h/fleet");
  EXPECT_EQ(options.serve->api.listen, "127.0.0.1:0");
  const auto with = [&](std::vector<std::string> more) {
    auto words = replica;
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  EXPECT_EQ(informer(with({"--listen", "127.0.0.1:0", "--log-format", "json"})).common.log_json, true);
  const struct {
    std::vector<std::string> words;
    const char* named;
  } cases[] = {
      {with({"-r", "pods"}), "--resource: is for what is followed: give --broker, too"},
      {with({"--once"}), "--once"},
      {with({"-o", "json"}), "--output"},
      {with({"--client-id", "me"}), "--client-id"},
      {with({"--cluster", "c1"}), "--cluster"},
      {{"--store", "postgresql://h/fleet"}, "--broker, or --serve with a --store postgresql:"},
      {{"--serve", "127.0.0.1:0"}, "--broker, or --serve with a --store postgresql:"},
      {{"--store", "sqlite:fleet.db", "--serve", "127.0.0.1:0"}, "--broker, or --serve with a --store postgresql:"},
  };
  for (const auto& each : cases) {
    EXPECT_EQ(refused(each.words), 2) << each.named;
    EXPECT_THAT(said, HasSubstr(each.named));
  }
}

TEST_F(OptionsTest, TheStoresThatThereAreOnTheCommandLineAndInAFile) {
  EXPECT_EQ(informer({"-b", "h:1"}).store, "memory:");
  EXPECT_EQ(informer({"-b", "h:1", "--store", "memory:"}).store, "memory:");
  EXPECT_EQ(informer({"-b", "h:1", "--store", "memory:?compress=true"}).store, "memory:?compress=true");
  EXPECT_EQ(informer({"--config", file("a.yaml", "broker: h:1\nstore: memory:?compress=true\n")}).store,
            "memory:?compress=true");
  EXPECT_EQ(refused({"-b", "h:1", "--store", "disk:"}), 2);
  EXPECT_THAT(said, HasSubstr("--store: there is no store \"disk:\"; use memory:, memory:?compress=true, sqlite:"));
  EXPECT_EQ(informer({"-b", "h:1", "--store", "postgresql://me@h/d"}).store, "postgresql://me@h/d");
  for (const std::string word : {"--store=postgresql://me:s3cret@h/d", "--store=postgres://h/d?password=s3cret"}) {
    EXPECT_EQ(refused({"-b", "h:1", word}), 2);
    EXPECT_THAT(said, HasSubstr("a password on the command line is read by everybody"));
    EXPECT_THAT(said, Not(HasSubstr("s3cret")));
  }
  EXPECT_EQ(refused({"--config", file("b.yaml", "broker: h:1\nstore: memory:?compress=yes\n")}), 2);
  EXPECT_THAT(said, HasSubstr("memory:?compress=yes"));
}

TEST_F(OptionsTest, BothSpellingsOfTheTopicBases) {
  const auto options = informer({"-b", "h:1", "--signal-topic", "a/s", "--payload-topic", "a/p"});
  EXPECT_EQ(options.common.signal_base, "a/s");
  EXPECT_EQ(options.common.payload_base, "a/p");
}

TEST_F(OptionsTest, TheBrokerMayComeFromTheEnvironmentAndAFlagWins) {
  setenv("BROKER", "tcp://env:1", 1);
  EXPECT_EQ(informer({}).common.broker.url, "tcp://env:1");
  EXPECT_EQ(informer({"-b", "tcp://flag:1"}).common.broker.url, "tcp://flag:1");
}

TEST_F(OptionsTest, AConfigurationFileHoldsAnyOptionByItsName) {
  const auto config =
      file("c.yaml",
           "broker: tcp://file:1\nqos: 2\nresource: [configmaps, deployments.apps]\nmetadata-only: true\nresync: 5m\n");
  const auto options = informer({"--config", config, "--qos", "0"});
  EXPECT_EQ(options.common.broker.url, "tcp://file:1");
  EXPECT_EQ(options.common.broker.qos, 0);  // The command line wins.
  EXPECT_THAT(options.resources, ElementsAre("configmaps", "deployments.apps"));
  EXPECT_TRUE(options.metadata_only);
  EXPECT_EQ(options.resync, 5min);
}

TEST_F(OptionsTest, AConfigurationFileWithAnUnknownNameIsRefusedByThatName) {
  const auto config = file("c.yaml", "broker: tcp://file:1\nbroken: 1\n");
  EXPECT_EQ(refused({"--config", config}), 2);
  EXPECT_THAT(said, HasSubstr("there is no flag \"broken\""));
}

TEST_F(OptionsTest, AConfigurationFileThatIsNoMappingIsRefused) {
  EXPECT_EQ(refused({"--config", file("c.yaml", "- broker\n")}), 2);
  EXPECT_EQ(refused({"--config", file("d.yaml", "broker: [\n")}), 2);
  EXPECT_EQ(refused({"--config", folder + "/none.yaml"}), 2);
}

TEST_F(OptionsTest, WhatIsWrongInAConfigurationFileIsNamedWithTheFile) {
  const struct {
    const char* text;
    const char* named;
  } cases[] = {
      {"broker: h:1\nbroken: 1\n", "there is no flag \"broken\""},
      {"- broker\n", "mapping"},
      {"broker: [\n", "line 2"},
      {"broker: {a: 1}\n", "\"broker\" must be a value"},
      {"broker: h:1\nqos: 1\nqos: 2\n", "\"qos\" in line 3"},
      {"broker: h:1\nb: h:2\n", "\"b\" in line 2 says again what \"broker\""},
      {"signal: a\nsignal-topic: b\nbroker: h:1\n", "\"signal-topic\" in line 2"},
      {"broker: h:1\n---\nqos: 1\n", "one YAML document"},
  };
  for (const auto& each : cases) {
    const auto config = file("c.yaml", each.text);
    EXPECT_EQ(refused({"--config", config}), 2) << each.text;
    EXPECT_THAT(said, HasSubstr("--config " + config + ": ")) << each.text;
    EXPECT_THAT(said, HasSubstr(each.named)) << each.text;
  }
}

TEST_F(OptionsTest, NoSecretFromACommandLineIsSaidAgain) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"-b", "h:1", "--password", "hunter2"}, {"-b", "h:1", "--password=hunter2"}}) {
    EXPECT_EQ(refused(words), 2);
    EXPECT_THAT(said, HasSubstr("--password-file"));
    EXPECT_THAT(said, ::testing::Not(HasSubstr("hunter2")));
  }
}

TEST_F(OptionsTest, ResyncMayBeNeverAsTheHelpSays) {
  EXPECT_EQ(informer({"-b", "h:1", "--resync", "never"}).resync, Duration());
  EXPECT_EQ(informer({"-b", "h:1", "--resync", "0"}).resync, Duration());
}

TEST_F(OptionsTest, TheSizeOfAMessageHasBounds) {
  EXPECT_EQ(informer({"-b", "h:1"}).common.broker.maximum_message_bytes, 262144u);
  EXPECT_EQ(
      provider({"-b", "h:1", "--cluster", "c", "--maximum-message-size", "30000"}).common.broker.maximum_message_bytes,
      30000u);
}

TEST_F(OptionsTest, WhatIsWrongWithAnOfferIsNamedAndEndsWithTwo) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"--offer", ""}, {"--allow", "a/b"}, {"--deny", "a b"}}) {
    std::vector<std::string> all{"-b", "h:1", "--cluster", "c"};
    all.insert(all.end(), words.begin(), words.end());
    const auto parsed = parse(parse_provider, all);
    ASSERT_TRUE(std::holds_alternative<int>(parsed)) << words.front();
    EXPECT_EQ(std::get<int>(parsed), 2);
    EXPECT_THAT(said, HasSubstr(words.front() + ": \"" + words.back() + "\" cannot name a resource"));
  }
}

TEST_F(OptionsTest, WhatIsWrongIsNamedAndEndsWithTwo) {
  const struct {
    std::vector<std::string> words;
    const char* named;
  } cases[] = {
      {{"-b", "h:1", "--frobnicate"}, "--frobnicate"},
      {{"--borker", "h:1"}, "--borker"},
      {{"-b", "http://h:1"}, "no transport \"http\""},
      {{"-b", "h:99999"}, "65535"},
      {{"-b", "h:1", "--listen", "8080"}, "127.0.0.1:8080"},
      {{"-b", "h:1", "-n", "a/b"}, "--namespace"},
      {{"-b", "h:1", "-r", ""}, "--resource"},
      {{"-b", "h:1", "-r", "pods/log"}, "pods/log"},
      {{}, "--broker"},
      {{"-b", "h:1", "--qos", "3"}, "--qos"},
      {{"-b", "h:1", "--cluster", "Cluster_1"}, "Cluster_1"},
      {{"-b", "h:1", "--cluster", "a/b"}, "a/b"},
      {{"-b", "h:1", "--client-id", "a+b"}, "a+b"},
      {{"-b", "h:1", "--signal", "/a/#"}, "/a/#"},
      {{"-b", "h:1", "--payload", "/a/"}, "/a/"},
      {{"-b", "h:1", "-l", "a in ("}, "--selector"},
      {{"-b", "h:1", "--field-selector", "a"}, "--field-selector"},
      {{"-b", "h:1", "--resync", "soon"}, "soon"},
      {{"-b", "h:1", "--ca-crt", "/no/such/file"}, "/no/such/file"},
      {{"-b", "h:1", "-o", "yaml"}, "yaml"},
      {{"-b", "h:1", "--username", "", "--password-file", "/etc/hostname"}, "--username"},
      {{"-b", "h:1", "--maximum-message-size", "1000"}, "--maximum-message-size"},
      {{"-b", "h:1", "--password-file", "/etc/hostname"}, "--username"},
  };
  for (const auto& each : cases) {
    EXPECT_EQ(refused(each.words), 2) << each.named;
    EXPECT_THAT(said, HasSubstr(each.named));
  }
}

TEST_F(OptionsTest, HelpAndVersionAreNoErrors) {
  ::testing::internal::CaptureStdout();
  const auto help = parse(parse_informer, {"--help"});
  const auto version = parse(parse_provider, {"--version"});
  const std::string out = ::testing::internal::GetCapturedStdout();
  EXPECT_EQ(std::get<int>(help), 0);
  EXPECT_EQ(std::get<int>(version), 0);
  EXPECT_THAT(out, HasSubstr("--field-selector"));
  EXPECT_THAT(out, HasSubstr("informer-HOST-PID"));
  EXPECT_THAT(out, HasSubstr("provider 0."));
}

}  // namespace
}  // namespace tinf::daemon
