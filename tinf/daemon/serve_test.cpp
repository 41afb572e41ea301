// Who may read what, as its files say it: rules, reviews of tokens, and the lines that tell of it.
#include "tinf/daemon/serve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <sstream>

#include "tinf/daemon/audit_file.h"
#include "tinf/daemon/auth_command.h"
#include "tinf/daemon/authorization_file.h"
#include "tinf/daemon/token_review.h"
#include "tinf/testing/real_time.h"

namespace tinf::daemon {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kRules = R"(# Who reads what.
rules:
- name: operators
  groups: [operators]
  clusters: ["*"]
  namespaces: ["*"]
  apiGroups: ["*"]
  resources: ["*"]
  verbs: ["*"]
- users: [jane, "system:serviceaccount:ci:*"]
  clusters: [eu-*]
  namespaces: [shop]
  apiGroups: ["", apps]
  resources: [pods, deployments]
  verbs: [get, list]
- name: probes
  groups: ["system:unauthenticated"]
  nonResourceURLs: [/readyz]
  verbs: [get]
)";

TEST(AuthorizationFile, SaysInRulesWhoMayReadWhat) {
  const auto policy = parse_authorization(kRules);
  ASSERT_TRUE(policy) << policy.error().message;
  ASSERT_EQ(policy->rules().size(), 3u);
  EXPECT_EQ(policy->rules()[0].name, "operators");
  EXPECT_EQ(policy->rules()[1].name, "rule 2, line 10");
  EXPECT_THAT(policy->rules()[1].users, ElementsAre("jane", "system:serviceaccount:ci:*"));
  EXPECT_THAT(policy->rules()[1].api_groups, ElementsAre("", "apps"));
  EXPECT_THAT(policy->rules()[2].paths, ElementsAre("/readyz"));
  EXPECT_TRUE(parse_authorization("rules: []\n")->rules().empty());
}

TEST(AuthorizationFile, WhatIsWrongIsNamedWithItsLine) {
  const std::string rest = "  clusters: [a]\n  namespaces: [b]\n  apiGroups: [\"\"]\n  resources: [pods]\n";
  const std::string all = "  users: [u]\n" + rest + "  verbs: [get]\n";
  const auto said = [](const std::string& text) {
    const auto policy = parse_authorization(text);
    return policy ? "taken" : policy.error().message;
  };
  EXPECT_EQ(said("rules:\n- name: r\n" + all), "taken");
  EXPECT_EQ(said(""), "line 1: the file must be a mapping with the key rules");
  EXPECT_EQ(said("{}"), "line 1: the file must have rules (rules: [] allows nobody anything)");
  EXPECT_EQ(said("rules: []\nusers: []\n"), "line 2: there is no \"users\": the file has rules, and nothing else");
  EXPECT_THAT(said("rules:\n- name: r\n" + all + "  cluster: [x]\n"), HasSubstr("line 9: a rule has no \"cluster\""));
  EXPECT_EQ(said("rules:\n- name: r\n" + all + "  users: [x]\n"), "line 9: \"users\" stands in the rule twice");
  EXPECT_EQ(said("rules:\n- name: r\n" + rest + "  verbs: [get]\n"),
            "line 2: the rule says nobody: it needs users or groups");
  EXPECT_EQ(said("rules:\n- users: [u]\n" + rest), "line 2: the rule needs verbs");
  EXPECT_THAT(said("rules:\n- users: [u]\n  verbs: [get]\n"), HasSubstr("line 2: the rule needs clusters"));
  EXPECT_THAT(said("rules:\n- users: [u]\n" + rest + "  verbs: [delete]\n"), HasSubstr("the fleet is only read"));
  EXPECT_THAT(said("rules:\n- users: [a*b]\n" + rest + "  verbs: [get]\n"),
              HasSubstr("line 2: \"a*b\" in users: * stands at the end only"));
  EXPECT_THAT(said("rules:\n- users: []\n" + rest + "  verbs: [get]\n"), HasSubstr("line 2: users is an empty list"));
  EXPECT_THAT(said("rules:\n- users: jane\n" + rest + "  verbs: [get]\n"), HasSubstr("users must be a list"));
  EXPECT_THAT(said("rules:\n- users: [u]\n  nonResourceURLs: [/x]\n" + rest + "  verbs: [get]\n"),
              HasSubstr("make two of it"));
  EXPECT_THAT(said("rules:\n- users: [u]\n  nonResourceURLs: [readyz]\n  verbs: [get]\n"),
              HasSubstr("paths begin with /"));
  EXPECT_THAT(said("rules:\n- users: [u]\n  clusters: [a]\n  namespaces: [b]\n  apiGroups: [\"\"]\n"
                   "  resources: [deployments.apps]\n  verbs: [get]\n"),
              HasSubstr("write deployments, and apps in apiGroups"));
  EXPECT_THAT(said("rules: [\n"), HasSubstr("no YAML"));
  EXPECT_THAT(said("rules: []\n---\nrules: []\n"), HasSubstr("one YAML document"));
}

TEST(TokenReview, NamesWhoseTokenItIsOrNobody) {
  const auto jane = identity_of_review(R"({"kind":"TokenReview","status":{"authenticated":true,
      "user":{"username":"jane","uid":"7","groups":["dev","system:authenticated"]}}})");
  ASSERT_TRUE(jane && *jane);
  EXPECT_EQ((*jane)->user, "jane");
  EXPECT_THAT((*jane)->groups, ElementsAre("dev", "system:authenticated"));
  // Nobody, unless it says yes in so many words.
  for (const char* no : {R"({"kind":"TokenReview","status":{"user":{"username":"jane"}}})",
                         R"({"kind":"TokenReview","status":{"authenticated":"true","user":{"username":"jane"}}})",
                         R"({"kind":"TokenReview","status":{"authenticated":false,"user":{"username":"jane"}}})"}) {
    const auto nobody = identity_of_review(no);
    ASSERT_TRUE(nobody) << no;
    EXPECT_FALSE(*nobody) << no;
  }
  std::string many = R"({"kind":"TokenReview","status":{"authenticated":true,"user":{"username":"jane","groups":["a")";
  for (int i = 0; i < 1001; ++i) many += ",\"g\"";
  for (const std::string& alien :
       {std::string("{}"), std::string("no JSON"), std::string(R"({"kind":"Status","status":"Failure"})"),
        std::string(R"({"kind":"TokenReview","status":{"authenticated":true,"user":{"username":""}}})"),
        std::string(R"({"kind":"TokenReview","status":{"authenticated":true,"user":{"username":"j","groups":[7]}}})"),
        many + "]}}}"}) {
    EXPECT_FALSE(identity_of_review(alien)) << alien.substr(0, 99);
  }
}

struct FilesTest : ::testing::Test {
  FilesTest() {
    char name[] = "/tmp/tinf-serve-XXXXXX";
    folder = mkdtemp(name);
  }
  ~FilesTest() override {
    for (const auto& file : files) unlink((folder + "/" + file).c_str());
    rmdir(folder.c_str());
  }
  std::string path(const std::string& name) {
    files.push_back(name);
    return folder + "/" + name;
  }
  static std::string text_of(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }

  std::string folder;
  std::vector<std::string> files;
};

TEST_F(FilesTest, CanISaysYesOrNoAndWhichRule) {
  const std::string file = path("rules");
  std::ofstream(file) << kRules;
  std::string said;
  const auto ask = [&](std::vector<std::string> words) {
    words.insert(words.begin(), {"auth", "can-i"});
    words.insert(words.end(), {"--authorization-file", file});
    std::vector<char*> arguments;
    for (auto& word : words) arguments.push_back(word.data());
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    const int code = run_auth(static_cast<int>(arguments.size()), arguments.data());
    said = ::testing::internal::GetCapturedStdout() + ::testing::internal::GetCapturedStderr();
    return code;
  };
  EXPECT_EQ(ask({"get", "pods", "-n", "eu-1.shop", "--as", "jane"}), 0);
  EXPECT_EQ(said, "yes: the rule \"rule 2, line 10\" allows it\n");
  EXPECT_EQ(ask({"get", "pods", "-n", "shop", "--cluster", "eu-1", "--as", "jane"}), 0);
  EXPECT_EQ(ask({"list", "deployments.apps", "-n", "eu-1.shop", "--as", "system:serviceaccount:ci:a"}), 0);
  EXPECT_EQ(ask({"get", "pods", "-n", "us-1.shop", "--as", "jane"}), 1);
  EXPECT_EQ(said, "no: User \"jane\" cannot get resource \"pods\" in API group \"\" in the namespace \"us-1.shop\"\n");
  EXPECT_EQ(ask({"list", "pods", "--as", "jane"}), 1);
  EXPECT_EQ(ask({"watch", "pods", "--as", "eve", "--as-group", "operators"}), 0);
  EXPECT_EQ(ask({"get", "secrets", "--as", "eve", "--as-group", "operators"}), 1);
  EXPECT_EQ(ask({"get", "/readyz", "--as", "system:anonymous"}), 0);
  EXPECT_EQ(ask({"get", "/readyz", "--as", "jane"}), 1);
  EXPECT_EQ(ask({"get", "pods"}), 2);
  EXPECT_THAT(said, HasSubstr("--as is required"));
  std::ofstream(file) << "rules:\n- users: 7\n";
  EXPECT_EQ(ask({"get", "pods", "--as", "jane"}), 2);
  EXPECT_THAT(said, HasSubstr("line 2: users must be a list"));
}

TEST_F(FilesTest, TheAuditLogIsOpenedAnewWhenItWasMovedAway) {
  testing::RealTime time;
  const std::string file = path("audit"), moved = path("audit.1");
  auto audit = AuditFile::open(time.runtime(), file);
  ASSERT_TRUE(audit);
  (*audit)->write("{\"a\":1}");
  ASSERT_EQ(rename(file.c_str(), moved.c_str()), 0);
  (*audit)->write("{\"a\":2}");
  raise(SIGHUP);
  ASSERT_TRUE(time.run_until([&] { return access(file.c_str(), F_OK) == 0; }));
  (*audit)->write("{\"a\":3}");
  EXPECT_EQ(text_of(moved), "{\"a\":1}\n{\"a\":2}\n");
  EXPECT_EQ(text_of(file), "{\"a\":3}\n");
  EXPECT_FALSE(AuditFile::open(time.runtime(), folder + "/none/audit"));
}

TEST_F(FilesTest, LinesOfTheAuditLogThatDoNotFitAreCountedAndSaid) {
  testing::RealTime time;
  const std::string file = path("audit");
  auto audit = AuditFile::open(time.runtime(), file);
  ASSERT_TRUE(audit);
  // As on a full disk: no file may be longer than this.
  struct rlimit before {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  auto handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit small = before;
  small.rlim_cur = 20;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string line(14, 'x');
  for (int i = 0; i < 5; ++i) (*audit)->write(line);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  (*audit)->write(line);
  // Whole again, whatever stands in between.
  EXPECT_EQ(text_of(file), line + "\n" + line.substr(0, 5) + "\n" + line + "\n");
  const auto lost = time.runtime().metrics.counter("tinf_api_audit_lost_lines_total", "");
  EXPECT_EQ(lost->value(), 4u);
  const auto said = std::ranges::count_if(time.log_lines(), [](const std::string& one) {
    return one.find("lines of the audit log are lost") != std::string::npos;
  });
  EXPECT_EQ(said, 1);
}

}  // namespace
}  // namespace tinf::daemon
