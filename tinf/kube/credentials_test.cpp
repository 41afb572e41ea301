// Credentials that rotate, expire and are refused; plugins are real programs: scripts in a folder of the test's own.
#include "tinf/kube/credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "tinf/kube/rest_client.h"
#include "tinf/kube/scripted_server.h"

namespace tinf::kube {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::LiveLoop;
using testing::ScriptedServer;

struct CredentialsTest : ::testing::Test {
  CredentialsTest() {
    std::string name = (fs::temp_directory_path() / "tinf-credentials-XXXXXX").string();
    folder = ::mkdtemp(name.data());
    connection.origin = "the test";
    connection.server = "http://127.0.0.1:1";
  }
  ~CredentialsTest() override { fs::remove_all(folder); }

  std::string write(const std::string& name, const std::string& text) {
    const fs::path path = folder / name;
    std::ofstream(folder / "new") << text;
    fs::rename(folder / "new", path);  // As a kubelet does it.
    return path.string();
  }

  // A plugin that counts its runs in the token it gives.
  void use_plugin(const std::string& script) {
    const std::string path = write("plugin", "#!/bin/sh\ncd " + folder.string() + "\necho run >> runs\n" + script);
    ::chmod(path.c_str(), 0700);
    connection.credentials.exec.emplace();
    connection.credentials.exec->api_version = "client.authentication.k8s.io/v1";
    connection.credentials.exec->command = path;
  }
  static std::string printing(const std::string& status) {
    return R"(echo "{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\"status\":{)" +
           status + "}}\"\n";
  }

  std::string authorization(CredentialSource& source) {
    const auto grant = loop.await(source.grant());
    if (!grant) return grant.error().message;
    return grant->headers.empty() ? "" : grant->headers[0].second;
  }

  LiveLoop loop;
  fs::path folder;
  Connection connection;
};

TEST_F(CredentialsTest, ATokenFileIsReadAgainWhenItIsReplaced) {
  connection.credentials.token_file = write("token", "one\n");
  CredentialSource source(loop, connection);
  EXPECT_EQ(authorization(source), "Bearer one");
  write("token", "two");
  EXPECT_EQ(authorization(source), "Bearer two");
  fs::remove(folder / "token");
  EXPECT_EQ(authorization(source), "Bearer two");  // Gone for the moment of a rotation.
}

TEST_F(CredentialsTest, AMissingTokenFileIsNamed) {
  connection.credentials.token_file = (folder / "token").string();
  CredentialSource source(loop, connection);
  const auto grant = loop.await(source.grant());
  EXPECT_EQ(grant.error().code, Code::Unauthorized);
  EXPECT_THAT(grant.error().message, HasSubstr(connection.credentials.token_file));
}

TEST_F(CredentialsTest, ACertificateFileIsReadAgainAndMustBePem) {
  connection.credentials.client_certificate.path = write("c.crt", "-----BEGIN one");
  connection.credentials.client_key.path = write("c.key", "-----BEGIN key");
  CredentialSource source(loop, connection);
  EXPECT_EQ(loop.await(source.grant())->certificate, "-----BEGIN one");
  write("c.crt", "-----BEGIN two");
  EXPECT_EQ(loop.await(source.grant())->certificate, "-----BEGIN two");
  write("c.crt", "DER");
  EXPECT_THAT(loop.await(source.grant()).error().message, HasSubstr("not PEM"));
}

TEST_F(CredentialsTest, APasswordIsBasicAuthentication) {
  connection.credentials.username = "Aladdin";
  connection.credentials.password = "open sesame";
  CredentialSource source(loop, connection);
  EXPECT_EQ(authorization(source), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
}

TEST_F(CredentialsTest, APluginRunsOnceAndAgainWhenItsTokenHasExpired) {
  use_plugin(printing(R"(\"token\":\"t$(grep -c run runs)\",\"expirationTimestamp\":\"2019-12-20T01:00:00Z\")"));
  CredentialSource source(loop, connection);  // The loop's clock starts at 2019-12-20T00:00Z.
  EXPECT_EQ(authorization(source), "Bearer t1");
  EXPECT_EQ(authorization(source), "Bearer t1");
  loop.advance(2h);
  EXPECT_EQ(authorization(source), "Bearer t2");
}

TEST_F(CredentialsTest, APluginGetsItsArgumentsEnvironmentAndTheClustersAddress) {
  use_plugin("printf '%s' \"$KUBERNETES_EXEC_INFO\" > told\n" + printing(R"(\"token\":\"$1-$FLAVOUR\")"));
  connection.credentials.exec->arguments = {"argument"};
  connection.credentials.exec->environment = {{"FLAVOUR", "sour"}};
  connection.credentials.exec->provide_cluster_info = true;
  CredentialSource source(loop, connection);
  EXPECT_EQ(authorization(source), "Bearer argument-sour");
  std::string told;
  std::getline(std::ifstream(folder / "told"), told);
  EXPECT_EQ(
      told,
      R"({"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"interactive":false,"cluster":{"server":"http://127.0.0.1:1"}}})");
}

TEST_F(CredentialsTest, APluginMayGiveAClientCertificate) {
  use_plugin(printing(R"(\"clientCertificateData\":\"-----BEGIN c\",\"clientKeyData\":\"-----BEGIN k\")"));
  CredentialSource source(loop, connection);
  const auto grant = loop.await(source.grant());
  ASSERT_TRUE(grant) << grant.error().message;
  EXPECT_EQ(grant->certificate, "-----BEGIN c");
  EXPECT_EQ(grant->key, "-----BEGIN k");
}

TEST_F(CredentialsTest, APluginThatFailsIsQuotedAndItsHintGiven) {
  use_plugin("echo 'please log in' >&2\nexit 3\n");
  connection.credentials.exec->install_hint = "see the manual";
  CredentialSource source(loop, connection);
  const auto grant = loop.await(source.grant());
  EXPECT_EQ(grant.error().code, Code::Unauthorized);
  EXPECT_THAT(grant.error().message,
              AllOf(HasSubstr("status 3"), HasSubstr("please log in"), HasSubstr("see the manual")));
  connection.credentials.exec->command = (folder / "absent").string();
  CredentialSource absent(loop, connection);
  EXPECT_THAT(loop.await(absent.grant()).error().message, AllOf(HasSubstr("cannot be started"), HasSubstr("absent")));
}

TEST_F(CredentialsTest, APluginThatPrintsSomethingElseIsRefused) {
  for (const std::string script :
       {"echo hello\n", "echo '{}'\n",
        "echo '{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1beta1\"}'\n"}) {
    use_plugin(script);
    CredentialSource source(loop, connection);
    EXPECT_EQ(loop.await(source.grant()).error().code, Code::Unauthorized) << script;
  }
}

TEST_F(CredentialsTest, APluginThatHangsIsKilledAfterAMinute) {
  use_plugin("exec sleep 1000\n");
  CredentialSource source(loop, connection);
  const auto grant = loop.await_after(source.grant(), 61s, [] { return true; });
  EXPECT_THAT(grant.error().message, HasSubstr("did not end"));
}

TEST_F(CredentialsTest, A401RunsThePluginOnceMore) {
  use_plugin(printing(R"(\"token\":\"t$(grep -c run runs)\")"));
  ScriptedServer server(loop);
  connection.server = server.url();
  server.connection()
      .expects("GET")
      .replies("401 Unauthorized", "")
      .expects("GET")
      .replies_json("{}")
      .expects("GET")
      .replies("401 Unauthorized", "")
      .expects("GET")
      .replies("401 Unauthorized", "");
  RestClient client(loop.runtime(), connection);
  EXPECT_TRUE(loop.await(client.request(Request("/"))));
  EXPECT_THAT(server.requests()[0], HasSubstr("Bearer t1"));
  EXPECT_THAT(server.requests()[1], HasSubstr("Bearer t2"));
  EXPECT_EQ(loop.await(client.request(Request("/"))).error().code, Code::Unauthorized);
  EXPECT_EQ(server.requests().size(), 4u);
}

TEST_F(CredentialsTest, A401WithAFixedTokenIsFinal) {
  ScriptedServer server(loop);
  connection.server = server.url();
  connection.credentials.token = "t";
  server.connection().expects("GET").replies("401 Unauthorized", "");
  RestClient client(loop.runtime(), connection);
  EXPECT_EQ(loop.await(client.request(Request("/"))).error().code, Code::Unauthorized);
  EXPECT_EQ(server.requests().size(), 1u);
}

}  // namespace
}  // namespace tinf::kube
