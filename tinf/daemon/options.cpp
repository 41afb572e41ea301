#include "tinf/daemon/options.h"

#include <unistd.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <map>

#include "tinf/base/listen_address.h"
#include "tinf/daemon/auth_command.h"
#include "tinf/daemon/health_server.h"
#include "tinf/daemon/serve.h"
#include "tinf/daemon/version.h"
#include "tinf/daemon/yaml_config.h"
#include "tinf/object/selector.h"
#include "tinf/wire/topics.h"

namespace tinf::daemon {
namespace {

// A check of the protocol's or the house's as a check of the command line.
template <class Check>
CLI::Validator valid(Check check) {
  return CLI::Validator(
      [check](std::string& text) {
        const auto checked = check(text);
        return checked ? std::string() : checked.error().message;
      },
      "", "");
}

// "90s", "5m", "1h30m", "250ms": Go's durations, as Kubernetes' tools take them.
Result<Duration> parse_duration(const std::string& text) {
  static const std::map<std::string, double> kUnits{{"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};
  const Error wrong(Code::Invalid, "\"" + text + "\" is not a duration: write it as 90s, 5m or 1h30m");
  double total = 0;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t unit = text.find_first_not_of("0123456789.", at);
    if (unit == at || unit == std::string::npos) return wrong;
    std::size_t end = text.find_first_of("0123456789.", unit);
    if (end == std::string::npos) end = text.size();
    const auto factor = kUnits.find(text.substr(unit, end - unit));
    if (factor == kUnits.end() || text.substr(at, unit - at).find('.') != text.substr(at, unit - at).rfind('.'))
      return wrong;
    total += std::strtod(text.substr(at, unit - at).c_str(), nullptr) * factor->second;
    at = end;
  }
  if (text.empty() || total > 1e18) return wrong;
  return Duration(static_cast<Duration::rep>(total));
}

// What cannot be a resource anywhere is a mistake in the command line, not something to wait for.
Result<void> check_spelling(const std::string& text) {
  const bool bad =
      std::any_of(text.begin(), text.end(), [](unsigned char c) { return !std::isalnum(c) && c != '-' && c != '.'; });
  if (!text.empty() && !bad) return Result<void>();
  return Error(Code::Invalid,
               "\"" + text + "\" cannot name a resource: write it as configmaps, deploy.apps or deployments.v1.apps");
}

// Zero: never.
Result<Duration> parse_resync(const std::string& text) {
  if (text == "never" || text == "0") return Duration();
  return parse_duration(text);
}

Result<void> check_not_empty(const std::string& text) {
  if (!text.empty()) return Result<void>();
  return Error(Code::Invalid, "is empty: leave the flag out, or give it a value");
}

Result<void> check_namespace(const std::string& text) {
  if (text.empty() || wire::check_cluster_name(text)) return Result<void>();  // A namespace's name is a DNS label, too.
  return Error(Code::Invalid, "\"" + text + "\" cannot be the name of a namespace");
}

CLI::Option* add_duration(CLI::App& app, const std::string& names, Duration& to, const std::string& shown,
                          const std::string& help, Result<Duration> (*parse)(const std::string&) = parse_duration) {
  return app
      .add_option_function<std::string>(
          names, [&to, parse](const std::string& text) { to = *parse(text); }, help)
      ->check(valid(parse))
      ->type_name("DURATION")
      ->default_str(shown);
}

void add_common(CLI::App& app, CommonOptions& options, const std::string& shown_client_id,
                const std::string& broker_type) {
  app.set_config("--config", "", "A YAML file with any of these flags, by the same names")->group("General");
  app.config_formatter(std::make_shared<YamlConfig>(app));
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.set_version_flag("--version", std::string(app.get_name()) + " " + kVersion)->group("General");
  app.get_help_ptr()->group("General");

  wiring::BrokerOptions& broker = options.broker;
  app.add_option("-b,--broker", broker.url, "tcp://, mqtt://, ssl:// or mqtts:// and host:port, or host:port alone")
      ->envname("BROKER")
      ->check(valid(wiring::check_broker_url))
      ->type_name(broker_type)
      ->group("Broker");
  app.add_option("--client-id", broker.client_id, "Who we are at the broker; no two processes may share one")
      ->check(valid(wire::check_client_id))
      ->default_str(shown_client_id)
      ->group("Broker");
  app.add_option("--signal,--signal-topic", options.signal_base, "Topic base of requests")
      ->check(valid([](const std::string& text) { return wire::check_topic_base("topic", text); }))
      ->capture_default_str()
      ->group("Broker");
  app.add_option("--payload,--payload-topic", options.payload_base, "Topic base of answers and changes")
      ->check(valid([](const std::string& text) { return wire::check_topic_base("topic", text); }))
      ->capture_default_str()
      ->group("Broker");
  app.add_option("-q,--qos", broker.qos, "MQTT quality of service")
      ->check(CLI::IsMember({0, 1, 2}))
      ->capture_default_str()
      ->group("Broker");
  app.add_flag("--tls", broker.tls, "Speak TLS (ssl:// and mqtts:// do)")->group("Broker");
  app.add_option("--ca-crt", broker.ca_file, "Certificates that sign the broker's (default: the system's)")
      ->check(CLI::ExistingFile)
      ->group("Broker");
  auto* certificate = app.add_option("--client-crt", broker.certificate_file, "Our certificate")
                          ->check(CLI::ExistingFile)
                          ->group("Broker");
  auto* key = app.add_option("--client-key", broker.key_file, "Its key")->check(CLI::ExistingFile)->group("Broker");
  certificate->needs(key);
  key->needs(certificate);
  auto* username =
      app.add_option("--username", broker.username, "At the broker")->check(valid(check_not_empty))->group("Broker");
  app.add_option("--password-file", broker.password_file, "A file whose first line is the password")
      ->check(CLI::ExistingFile)
      ->needs(username)
      ->group("Broker");

  app.add_option("--maximum-message-size", broker.maximum_message_bytes,
                 "Of one message; larger bodies travel in parts. Informers take what is no larger than their own")
      ->check(CLI::Range(std::size_t{2048}, std::size_t{64} << 20))
      ->type_name("BYTES")
      ->capture_default_str()
      ->group("Broker");

  app.add_option("--listen", options.listen, "address:port for /livez, /readyz and /metrics")
      ->check(valid(check_listen))
      ->group("Operation");
  app.add_option_function<std::string>(
         "--log-format", [&options](const std::string& form) { options.log_json = form == "json"; },
         "text or json, on stderr")
      ->check(CLI::IsMember({"text", "json"}))
      ->default_str("text")
      ->group("Operation");
  app.add_flag_callback(
         "-v,--verbose", [&options] { options.log_level = LogLevel::Debug; }, "Log details")
      ->group("Operation");
}

// After everything else was found good, so that a misspelt flag is not reported as a missing one.
void require(const std::string& flag, const std::string& value) {
  if (value.empty()) throw CLI::RequiredError(flag);
}

// Whoever may list processes reads their command lines.
void refuse_passwords(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string word(argv[i]);
    const std::size_t value = word.starts_with("--") ? word.find('=') + 1 : 0;
    if (!wiring::holds_password(word.substr(value))) continue;
    throw CLI::ValidationError(
        "--store",
        "a password on the command line is read by everybody who may list processes: give it as "
        "PGPASSWORD, in ~/.pgpass, in a file named by ?passfile=, or name the store in --config's "
        "file");
  }
}

std::string in_format(const std::string& store, const std::string& format) {
  auto formatted = wiring::store_in_format(store, format);
  if (!formatted) throw CLI::ValidationError("--store-format", formatted.error().message);
  return std::move(*formatted);
}

void add_serve(CLI::App& app, ServeOptions& serve) {
  api::ApiOptions& of = serve.api;
  of.listen.clear();
  const auto add_file = [&](const std::string& flag, std::string& to, const std::string& help) {
    app.add_option(flag, to, help)->check(CLI::ExistingFile)->group("API");
  };
  app.add_option("--serve", of.listen,
                 "Serve the copies as a read-only Kubernetes API at this address:port; kubectl --server takes it")
      ->type_name("ADDRESS:PORT")
      ->check(valid(parse_listen_address))
      ->group("API");
  add_file("--tls-cert", of.certificate_file, "Its certificate, PEM");
  add_file("--tls-key", of.key_file, "The certificate's key, PEM");
  const std::map<std::string, api::TlsVersion> versions{{"VersionTLS12", api::TlsVersion::Tls12},
                                                        {"VersionTLS13", api::TlsVersion::Tls13}};
  app.add_option("--tls-min-version", of.minimum_tls, "VersionTLS12 or VersionTLS13")
      ->transform(CLI::Transformer(versions))
      ->type_name("VERSION")
      ->default_str("VersionTLS12")
      ->group("API");
  add_file("--client-ca", of.client_authority_file, "Certificates that sign those of clients, PEM");
  add_file("--token-file", of.token_file,
           "Bearer tokens, one a line: a token alone, or token,user,uid,\"group1,group2\"");
  add_file("--token-review-kubeconfig", serve.token_review_kubeconfig,
           "A cluster whose API server is asked whose a bearer token is");
  app.add_option("--token-review-context", serve.token_review_context, "A context of it (default: its current one)")
      ->group("API");
  app.add_flag("--anonymous-auth", of.anonymous, "Take who brings neither certificate nor token for system:anonymous")
      ->group("API");
  add_file("--authorization-file", of.authorization_file, "Rules of who may read what, YAML");
  app.add_option_function<std::string>(
         "--authorization-mode", [&serve](const std::string& mode) { serve.always_allow = mode == "AlwaysAllow"; },
         "File, or AlwaysAllow: whoever is known reads everything")
      ->check(CLI::IsMember({"File", "AlwaysAllow"}))
      ->type_name("MODE")
      ->default_str("File")
      ->group("API");
  app.add_option("--audit-log", serve.audit_log, "A line of JSON for each request, appended to this file; - for stderr")
      ->type_name("FILE")
      ->check(valid(check_not_empty))
      ->group("API");
  app.add_option("--max-requests-inflight", of.limits.requests,
                 "Requests that are worked on at once, of watches those that are being opened")
      ->check(CLI::Range(std::size_t{1}, std::size_t{100'000}))
      ->capture_default_str()
      ->group("API");
  app.add_option("--max-requests-inflight-per-user", of.limits.requests_of_one_user, "Of them, those of one user")
      ->check(CLI::Range(std::size_t{1}, std::size_t{100'000}))
      ->capture_default_str()
      ->group("API");
}

// What --serve and the flags that belong to it ask for.
std::optional<ServeOptions> serve_options(const CLI::App& app, ServeOptions given) {
  if (given.api.listen.empty()) {
    for (const CLI::Option* option : app.get_options()) {
      if (option->get_group() != "API" || option->count() == 0) continue;
      throw CLI::ValidationError("--" + option->get_lnames().front(), "is for what is served: give --serve too");
    }
    return std::nullopt;
  }
  const auto fits = check_serve(given);
  if (!fits) throw CLI::ValidationError(fits.error().message);
  return given;
}

// Without a broker there is nothing to follow: what remains is to serve what others keep in a store that is shared.
void check_without_broker(const CLI::App& app, const InformerDaemonOptions& options) {
  const bool is_replica = options.serve && wiring::is_shared_store(options.store);
  if (!is_replica) {
    throw CLI::RequiredError("--broker, or --serve with a --store postgresql://… that other informers keep,");
  }
  for (const CLI::Option* option : app.get_options()) {
    const std::string& group = option->get_group();
    const bool is_of_following = group == "Broker" || group == "Output" || group == "What to follow";
    if (option->count() == 0 || !is_of_following || option->check_name("--store")) continue;
    throw CLI::ValidationError("--" + option->get_lnames().front(),
                               "is for what is followed: give --broker, too, or leave it out to serve only");
  }
}

// One line on stderr and exit code 2, or what was asked for on stdout and 0.
int say(const CLI::App& app, const CLI::ParseError& outcome) {
  if (outcome.get_exit_code() == 0) return app.exit(outcome);
  std::string text = outcome.what();
  const auto left = app.remaining();
  const bool password = std::any_of(left.begin(), left.end(), [](const std::string& word) {
    return word == "--password" || word.rfind("--password=", 0) == 0;
  });
  if (password) text = "there is no --password: a secret is never a command-line value; give --password-file a file";
  const std::string unknown = "INI was not able to parse ";  // CLI11's words, whatever the file's form.
  if (text.rfind(unknown, 0) == 0) text = "there is no flag \"" + text.substr(unknown.size()) + "\"";
  if (dynamic_cast<const CLI::ConfigError*>(&outcome) != nullptr) {
    const auto files = app.get_config_ptr()->results();
    text = "--config " + (files.empty() ? "" : files.back() + ": ") + text;
  }
  for (char& c : text) {
    if (c == '\n') c = ' ';
  }
  std::fprintf(stderr, "%s: %s; see %s --help\n", app.get_name().c_str(), text.c_str(), app.get_name().c_str());
  return 2;
}

}  // namespace

Parsed<ProviderDaemonOptions> parse_provider(int argc, char** argv) {
  ProviderDaemonOptions options;
  CLI::App app("Offers the objects of one Kubernetes cluster to informers behind a broker.", "provider");
  app.option_defaults()->always_capture_default(false);
  add_common(app, options.common, "provider-CLUSTER", "URL REQUIRED");
  app.add_option("--cluster", options.cluster, "The cluster's name: a DNS label")
      ->type_name("NAME REQUIRED")
      ->check(valid(wire::check_cluster_name))
      ->group("Cluster");
  app.add_option("-k,--kubeconfig", options.kubeconfig,
                 "How to reach its API server (default: as kubectl finds it, KUBECONFIG included)")
      ->group("Cluster");
  app.add_option("--context", options.context, "A context of the kubeconfig (default: its current one)")
      ->group("Cluster");
  app.add_option("--allow", options.allow, "Offer these too, of secrets, events and leases")
      ->check(valid(check_spelling))
      ->group("Offer")
      ->type_name("RESOURCE ...");
  app.add_option("--offer", options.offer, "Offer these only")
      ->check(valid(check_spelling))
      ->group("Offer")
      ->type_name("RESOURCE ...");
  app.add_option("--deny", options.deny, "Do not offer these")
      ->check(valid(check_spelling))
      ->group("Offer")
      ->type_name("RESOURCE ...");
  app.add_flag("--managed-fields", options.keep_managed_fields, "Send metadata.managedFields too")->group("Offer");
  try {
    app.parse(argc, argv);
    require("--broker", options.common.broker.url);
    require("--cluster", options.cluster);
  } catch (const CLI::ParseError& outcome) {
    return say(app, outcome);
  }
  if (options.common.broker.client_id.empty()) options.common.broker.client_id = "provider-" + options.cluster;
  return options;
}

Parsed<InformerDaemonOptions> parse_informer(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "auth") return run_auth(argc - 1, argv + 1);
  InformerDaemonOptions options;
  CLI::App app(
      "Keeps a copy of the objects of many clusters, prints what happens to them, and serves them as a Kubernetes API. "
      "Without --broker it serves what others keep in a postgresql: store.",
      "informer");
  app.footer("informer auth can-i --help: what an authorization file allows whom");
  app.option_defaults()->always_capture_default(false);
  add_common(app, options.common, "informer-HOST-PID", "URL");
  app.add_option("--cluster", options.clusters,
                 "A cluster to follow; may be repeated (default: every one that shows itself)")
      ->check(valid(wire::check_cluster_name))
      ->group("What to follow");
  app.add_option("-r,--resource", options.resources,
                 "Plural, singular, short name or kind, with .version.group if wanted; may be repeated (default: all "
                 "that is offered)")
      ->check(valid(check_spelling))
      ->group("What to follow");
  app.add_option("-n,--namespace", options.namespace_name, "Of one namespace only")
      ->check(valid(check_namespace))
      ->group("What to follow");
  app.add_option("-l,--selector", options.label_selector, "Label selector, as kubectl takes it")
      ->check(valid(LabelSelector::parse))
      ->group("What to follow");
  app.add_option("--field-selector", options.field_selector, "Field selector, as kubectl takes it")
      ->check(valid(FieldSelector::parse))
      ->group("What to follow");
  app.add_flag("--metadata-only", options.metadata_only, "Follow metadata without spec, status and data")
      ->group("What to follow");
  app.add_option(
         "--store", options.store,
         "Where the copies are kept: memory:, or memory:?compress=true for a third of the memory at the price of "
         "slower changes, sqlite:///path/to/file.db, which outlives this process, or "
         "postgresql://user@host/database, which several share")
      ->check(valid(wiring::check_store))
      ->type_name("STORE")
      ->capture_default_str()
      ->group("What to follow");
  std::string format;
  app.add_option(
         "--store-format", format,
         "How new objects stand in a SQLite file: json, which SQL can read, or zstd, a third to a fifth of the size")
      ->check(CLI::IsMember({"json", "zstd"}))
      ->default_str("json")
      ->group("What to follow");
  ServeOptions serve;
  add_serve(app, serve);
  add_duration(app, "--resync", options.resync, "never", "Print what is there again, this often", parse_resync)
      ->group("Output");
  app.add_option_function<std::string>(
         "-o,--output",
         [&options](const std::string& form) {
           options.output = form == "json" ? OutputForm::Json : form == "none" ? OutputForm::None : OutputForm::Lines;
         },
         "lines, json or none")
      ->check(CLI::IsMember({"lines", "json", "none"}))
      ->default_str("lines")
      ->group("Output");
  app.add_flag("--managed-fields", options.show_managed_fields,
               "Print metadata.managedFields, where providers send them")
      ->group("Output");
  app.add_flag("--once", options.once, "Exit 0 as soon as everything asked for is there")->group("Output");
  add_duration(app, "--timeout", options.timeout, "1m", "With --once: how long that may take")->group("Output");
  try {
    app.parse(argc, argv);
    refuse_passwords(argc, argv);
    options.serve = serve_options(app, std::move(serve));
    if (!format.empty()) options.store = in_format(options.store, format);
    if (options.common.broker.url.empty()) check_without_broker(app, options);
  } catch (const CLI::ParseError& outcome) {
    return say(app, outcome);
  }
  if (options.common.broker.client_id.empty()) {
    char host[256] = "host";
    gethostname(host, sizeof host - 1);
    options.common.broker.client_id = "informer-" + std::string(host) + "-" + std::to_string(getpid());
  }
  return options;
}

}  // namespace tinf::daemon
