// Kubeconfig files by kubectl's rules, each case from real files in a folder of its own.
#include "tinf/kube/kubeconfig.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "tinf/base/base64.h"
#include "tinf/kube/exec_plugin.h"

namespace tinf::kube {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct KubeconfigTest : ::testing::Test {
  KubeconfigTest() {
    std::string name = (fs::temp_directory_path() / "tinf-kubeconfig-XXXXXX").string();
    folder = ::mkdtemp(name.data());
    options.environment = [this](const std::string& key) { return environment[key]; };
    options.root = folder.string();
    environment["HOME"] = (folder / "home").string();
  }
  ~KubeconfigTest() override { fs::remove_all(folder); }

  std::string write(const std::string& name, const std::string& text) {
    const fs::path path = folder / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
    return path.string();
  }

  // A file with one context "dev" for the cluster and user given.
  std::string write_dev(const std::string& cluster, const std::string& user) {
    return write("home/.kube/config",
                 "current-context: dev\nclusters: [{name: c, cluster: {" + cluster + "}}]\nusers: [{name: u, user: {" +
                     user + "}}]\ncontexts: [{name: dev, context: {cluster: c, user: u, namespace: n}}]\n");
  }

  Error error() { return load_connection(options).error(); }

  fs::path folder;
  std::map<std::string, std::string> environment;
  KubeconfigOptions options;
};

TEST_F(KubeconfigTest, ReadsTheCurrentContextOfTheFileAtHome) {
  write_dev("server: 'https://a:6443/', certificate-authority-data: " + base64_encode("-----BEGIN ca"),
            "token: secret");
  const auto connection = load_connection(options);
  ASSERT_TRUE(connection) << connection.error().message;
  EXPECT_EQ(connection->server, "https://a:6443");
  EXPECT_EQ(connection->certificate_authority.bytes, "-----BEGIN ca");
  EXPECT_EQ(connection->credentials.token, "secret");
  EXPECT_EQ(connection->namespace_name, "n");
  EXPECT_THAT(connection->origin, AllOf(HasSubstr("\"dev\""), HasSubstr(".kube/config")));
}

TEST_F(KubeconfigTest, ATextIsUnderstoodWithoutItsFile) {
  options.path = "/nowhere/config";
  const auto connection = connection_of(
      "current-context: dev\nclusters: [{name: c, cluster: {server: 'https://a', certificate-authority: ca.crt}}]\n"
      "contexts: [{name: dev, context: {cluster: c}}]\n",
      options);
  ASSERT_TRUE(connection) << connection.error().message;
  EXPECT_EQ(connection->certificate_authority.path, "/nowhere/ca.crt");
  EXPECT_THAT(connection_of("[", options).error().message, HasSubstr("/nowhere/config"));
}

TEST_F(KubeconfigTest, TheFirstFileOfKubeconfigThatNamesAThingWins) {
  const std::string first = write("1", "contexts: [{name: x, context: {cluster: a, user: u}}]\ncurrent-context: x\n");
  const std::string second = write("2",
                                   "current-context: y\nclusters: [{name: a, cluster: {server: "
                                   "'http://second'}}]\nusers: [{name: u, user: {token: second}}]\n");
  const std::string third = write("3",
                                  "clusters: [{name: a, cluster: {server: 'http://third', proxy-url: "
                                  "'http://p'}}]\nusers: [{name: u, user: {username: v}}]\n");
  environment["KUBECONFIG"] = first + "::" + (folder / "missing").string() + ":" + second + ":" + third;
  const auto connection = load_connection(options);
  ASSERT_TRUE(connection) << connection.error().message;
  EXPECT_EQ(connection->server, "http://second");
  EXPECT_EQ(connection->proxy_url, "");
  EXPECT_EQ(connection->credentials.token, "second");
  EXPECT_EQ(connection->credentials.username, "");
}

TEST_F(KubeconfigTest, AnExplicitPathIsTheOnlyFileReadAndMustExist) {
  write_dev("server: 'http://home'", "");
  environment["KUBECONFIG"] = write("other", "clusters: [{name: z, cluster: {server: 'http://env'}}]\n");
  options.path = write("explicit",
                       "current-context: e\nclusters: [{name: c, cluster: {server: 'http://explicit'}}]\ncontexts: "
                       "[{name: e, context: {cluster: c}}]\n");
  EXPECT_EQ(load_connection(options)->server, "http://explicit");
  options.path = (folder / "absent").string();
  EXPECT_EQ(error().code, Code::Invalid);
  EXPECT_THAT(error().message, HasSubstr("absent"));
}

TEST_F(KubeconfigTest, OptionsReplaceContextClusterAndUser) {
  options.path = write("k", R"(
current-context: a
clusters: [{name: c1, cluster: {server: "http://1"}}, {name: c2, cluster: {server: "http://2"}}, {name: c3, cluster: {server: "http://3"}}]
users: [{name: u1, user: {token: t1}}, {name: u2, user: {token: t2}}]
contexts: [{name: a, context: {cluster: c1, user: u1}}, {name: b, context: {cluster: c2, user: u2}}]
)");
  options.context = "b";
  EXPECT_EQ(load_connection(options)->server, "http://2");
  options.cluster = "c3";
  EXPECT_EQ(load_connection(options)->server, "http://3");
  EXPECT_EQ(load_connection(options)->credentials.token, "t2");
  options.user = "u1";
  EXPECT_EQ(load_connection(options)->credentials.token, "t1");
}

TEST_F(KubeconfigTest, NamesWhatThereIsWhenSomethingIsMissing) {
  options.path = write("k",
                       "clusters: [{name: c, cluster: {server: 'http://1'}}]\nusers: [{name: u, user: {}}]\n"
                       "contexts: [{name: dev, context: {cluster: c}}, {name: prod, context: {cluster: gone}}, {name: "
                       "who, context: {cluster: c, user: nobody}}]\n");
  EXPECT_EQ(error().code, Code::NotFound);
  EXPECT_THAT(error().message, AllOf(HasSubstr("no current-context"), HasSubstr("dev, prod, who")));
  options.context = "staging";
  EXPECT_THAT(error().message, AllOf(HasSubstr("\"staging\""), HasSubstr("dev, prod, who")));
  options.context = "prod";
  EXPECT_THAT(error().message, AllOf(HasSubstr("no cluster \"gone\""), HasSubstr("there are: c")));
  options.context = "who";
  EXPECT_THAT(error().message, AllOf(HasSubstr("no user \"nobody\""), HasSubstr("there are: u")));
}

TEST_F(KubeconfigTest, RelativePathsStartAtTheFileTheyStandIn) {
  write_dev("server: 'https://a', certificate-authority: ca.crt",
            "client-certificate: ../pki/c.crt, client-key: /abs/c.key, tokenFile: token");
  const auto connection = load_connection(options);
  ASSERT_TRUE(connection) << connection.error().message;
  EXPECT_EQ(connection->certificate_authority.path, (folder / "home/.kube/ca.crt").string());
  EXPECT_EQ(connection->credentials.client_certificate.path, (folder / "home/pki/c.crt").string());
  EXPECT_EQ(connection->credentials.client_key.path, "/abs/c.key");
  EXPECT_EQ(connection->credentials.token_file, (folder / "home/.kube/token").string());
}

TEST_F(KubeconfigTest, DataGoesBeforeFiles) {
  write_dev("server: 'https://a', certificate-authority: ca.crt, certificate-authority-data: " + base64_encode("pem"),
            "");
  EXPECT_EQ(load_connection(options)->certificate_authority.bytes, "pem");
  EXPECT_EQ(load_connection(options)->certificate_authority.path, "");
}

TEST_F(KubeconfigTest, ReadsTheRestOfACluster) {
  write_dev("server: 'https://a', tls-server-name: b, proxy-url: 'socks5://p:1', insecure-skip-tls-verify: true",
            "username: jane, password: pw, as: root, as-groups: [g1, g2]");
  const auto connection = load_connection(options);
  ASSERT_TRUE(connection) << connection.error().message;
  EXPECT_EQ(connection->tls_server_name, "b");
  EXPECT_EQ(connection->proxy_url, "socks5://p:1");
  EXPECT_TRUE(connection->insecure_skip_tls_verify);
  EXPECT_EQ(connection->credentials.username, "jane");
  EXPECT_EQ(connection->credentials.password, "pw");
  EXPECT_EQ(connection->credentials.impersonate_user, "root");
  EXPECT_THAT(connection->credentials.impersonate_groups, ElementsAre("g1", "g2"));
}

TEST_F(KubeconfigTest, ReadsAnExecPlugin) {
  write_dev("server: 'https://a'",
            "exec: {apiVersion: client.authentication.k8s.io/v1, command: ./bin/login, args: [-x, y], env: [{name: A, "
            "value: b}], "
            "installHint: get it, interactiveMode: IfAvailable, provideClusterInfo: true}");
  const auto connection = load_connection(options);
  ASSERT_TRUE(connection) << connection.error().message;
  const ExecPlugin& plugin = *connection->credentials.exec;
  EXPECT_EQ(plugin.command, (folder / "home/.kube/bin/login").string());
  EXPECT_THAT(plugin.arguments, ElementsAre("-x", "y"));
  EXPECT_THAT(plugin.environment, ElementsAre(std::pair<std::string, std::string>("A", "b")));
  EXPECT_EQ(plugin.install_hint, "get it");
  EXPECT_TRUE(plugin.provide_cluster_info);
}

TEST_F(KubeconfigTest, RefusesWhatItCannotFollowAndSaysWhere) {
  const std::vector<std::pair<std::string, std::string>> users{
      {"client-certificate: a.crt", "only one of"},
      {"client-certificate-data: '***', client-key: b", "client-certificate-data is not Base64"},
      {"exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: x}", "v1alpha1"},
      {"exec: {apiVersion: client.authentication.k8s.io/v1}", "no command"},
      {"exec: {apiVersion: client.authentication.k8s.io/v1, command: x, interactiveMode: Always}", "no terminal"},
      {"auth-provider: {name: gcp}", "auth-provider \"gcp\""}};
  for (const auto& [user, complaint] : users) {
    write_dev("server: 'https://a'", user);
    EXPECT_EQ(error().code, Code::Invalid) << user;
    EXPECT_THAT(error().message, AllOf(HasSubstr(complaint), HasSubstr("user \"u\""), HasSubstr(".kube/config")));
  }
  for (const char* cluster : {"x: y", "server: 'ftp://a'", "server: 'https://'", "server: 'https:///a'",
                              "server: 'https://a', insecure-skip-tls-verify: true, certificate-authority: b"}) {
    write_dev(cluster, "");
    EXPECT_EQ(error().code, Code::Invalid) << cluster;
  }
  for (const char* text : {"[1, 2]", "clusters: 5", "clusters: [{cluster: {}}]", "a: [b",
                           "clusters: [{name: a}, {name: a}]", "clusters: [7]"}) {
    write("home/.kube/config", text);
    EXPECT_EQ(error().code, Code::Invalid) << text;
  }
}

TEST_F(KubeconfigTest, AServerWithoutASchemeGetsTheOneThatFits) {
  write_dev("server: 'a:1', insecure-skip-tls-verify: true", "");
  EXPECT_EQ(load_connection(options)->server, "https://a:1");
  write_dev("server: 'a:1'", "");
  EXPECT_EQ(load_connection(options)->server, "http://a:1");
}

TEST_F(KubeconfigTest, AFileInJsonWillDo) {
  write(
      "home/.kube/config",
      R"({"current-context":"x","contexts":[{"name":"x","context":{"cluster":"c","user":""}}],"clusters":[{"name":"c","cluster":{"server":"http://j"}}],"users":null})");
  EXPECT_EQ(load_connection(options)->server, "http://j");
}

TEST_F(KubeconfigTest, WithoutAnyFileThePodsServiceAccountIsUsed) {
  EXPECT_EQ(error().code, Code::NotFound);
  EXPECT_THAT(error().message, AllOf(HasSubstr("home/.kube/config"), HasSubstr("KUBECONFIG")));
  environment["KUBERNETES_SERVICE_HOST"] = "fd00::1";
  environment["KUBERNETES_SERVICE_PORT"] = "443";
  EXPECT_EQ(error().code, Code::NotFound);
  const std::string token = write("var/run/secrets/kubernetes.io/serviceaccount/token", "t");
  write("var/run/secrets/kubernetes.io/serviceaccount/ca.crt", "ca");
  write("var/run/secrets/kubernetes.io/serviceaccount/namespace", "mine");
  const auto connection = load_connection(options);
  ASSERT_TRUE(connection) << connection.error().message;
  EXPECT_EQ(connection->server, "https://[fd00::1]:443");
  EXPECT_EQ(connection->credentials.token_file, token);
  EXPECT_EQ(connection->namespace_name, "mine");
  EXPECT_FALSE(connection->certificate_authority.empty());
}

TEST(Time, ReadsWhatKubernetesWrites) {
  const auto seconds = [](const char* text) { return std::chrono::system_clock::to_time_t(*parse_time(text)); };
  EXPECT_EQ(seconds("1970-01-02T00:00:00Z"), 86400);
  EXPECT_EQ(seconds("1970-01-02T00:00:00.123456Z"), 86400);
  EXPECT_EQ(seconds("1970-01-02T01:30:00+01:30"), 86400);
  EXPECT_EQ(seconds("1970-01-01T16:00:00-08:00"), 86400);
  for (const char* text : {"", "tomorrow", "1970-01-02", "1970-01-02T00:00:00", "1970-01-02T00:00:00+x"})
    EXPECT_FALSE(parse_time(text)) << text;
}

}  // namespace
}  // namespace tinf::kube
