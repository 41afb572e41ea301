#include "tinf/api/ledger.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "tinf/api/timestamp.h"
#include "tinf/patch/json.h"

namespace tinf::api {
namespace json = boost::json;
namespace {

constexpr std::size_t kLongestText = 256;  // Of what a client may have made up.
constexpr std::size_t kMostGroups = 32;

std::string bounded(std::string_view text) {
  return readable(std::string(text.substr(0, kLongestText)));
}

// What clients may ask for; what else they send is one word, so that there are no more series.
std::string verb_label(const std::string& verb) {
  static const std::vector<std::string> kVerbs{"get",    "list",  "watch",  "create",
                                               "update", "patch", "delete", "deletecollection",
                                               "head",   "post",  "put",    "options"};
  return std::ranges::find(kVerbs, verb) != kVerbs.end() ? verb : "other";
}

std::string with_milliseconds(WallTime time) {
  const auto rest =
      std::chrono::floor<std::chrono::milliseconds>(time) - std::chrono::floor<std::chrono::seconds>(time);
  const std::string digits = std::to_string(1000 + rest.count());
  std::string text = timestamp(time);
  text.insert(text.size() - 1, "." + digits.substr(1));  // In front of the Z.
  return text;
}

void put(json::object& line, std::string_view name, std::string_view text) {
  if (!text.empty()) line[json::string_view(name.data(), name.size())] = bounded(text);
}

}  // namespace

Exchange::Exchange(std::shared_ptr<Ledger> ledger, const ApiRequest& request, AccessQuestion question)
    : ledger_(std::move(ledger)),
      question_(std::move(question)),
      method_(request.method),
      remote_(request.remote),
      user_agent_(request.user_agent),
      begun_(ledger_->clock_.now()) {
  ledger_->in_flight_->set(ledger_->in_flight_->value() + 1);
}

Exchange::~Exchange() {
  ledger_->ended(*this);
}

void Exchange::was_allowed(std::string rule) {
  decision_ = "allow";
  rule_ = std::move(rule);
}

void Exchange::was_refused() {
  decision_ = "forbid";
  ledger_->forbidden_->add();
}

void Exchange::answers(int code, bool is_watch) {
  code_ = code;
  is_watch_ = is_watch;
  opening_.reset();
  if (is_watch) ledger_->began(*this);
}

Ledger::Ledger(Runtime& runtime, AuditSink audit)
    : clock_(runtime.clock),
      metrics_(runtime.metrics),
      audit_(std::move(audit)),
      unauthenticated_(
          metrics_.counter("tinf_api_authentication_failures_total", "Requests of which nobody knows whose they are.")),
      forbidden_(metrics_.counter("tinf_api_authorization_refusals_total", "Requests that no rule allows.")),
      throttled_(metrics_.counter("tinf_api_throttled_requests_total", "Requests beyond what is worked on at once.")),
      bytes_(metrics_.counter("tinf_api_sent_bytes_total", "Of answers, with their heads.")),
      in_flight_(metrics_.gauge("tinf_api_requests_in_flight", "Requests that are being answered, without watches.")),
      watches_(metrics_.gauge("tinf_api_watches", "Open watches.")) {}

std::unique_ptr<Exchange> Ledger::open(const ApiRequest& request, AccessQuestion question) {
  return std::make_unique<Exchange>(shared_from_this(), request, std::move(question));
}

void Ledger::began(const Exchange& exchange) {
  in_flight_->set(in_flight_->value() - 1);
  watches_->set(watches_->value() + 1);
  tell(exchange, "watch-started");
}

void Ledger::ended(const Exchange& exchange) {
  const auto& gauge = exchange.is_watch_ ? watches_ : in_flight_;
  gauge->set(gauge->value() - 1);
  bytes_->add(exchange.bytes_);
  const std::string verb = verb_label(exchange.question_.verb);
  const Labels labels{{"verb", verb}, {"resource", exchange.resource_}, {"code", std::to_string(exchange.code_)}};
  auto& counter = requests_[labels];
  if (counter == nullptr) counter = metrics_.counter("tinf_api_requests_total", "Requests that were answered.", labels);
  counter->add();
  if (!exchange.is_watch_) {
    auto& histogram = durations_[verb];
    if (histogram == nullptr) {
      histogram =
          metrics_.histogram("tinf_api_request_duration_seconds", "Until the last byte was sent; not of watches.",
                             {0.001, 0.005, 0.025, 0.1, 0.25, 1, 2.5, 10, 30}, {{"verb", verb}});
    }
    histogram->observe(std::chrono::duration<double>(clock_.now() - exchange.begun_).count());
  }
  tell(exchange, exchange.is_watch_ ? "watch-ended" : "complete");
}

void Ledger::tell(const Exchange& exchange, std::string_view stage) const {
  if (!audit_) return;
  const AccessQuestion& question = exchange.question_;
  json::object line;
  put(line, "time", with_milliseconds(clock_.wall_now()));
  put(line, "stage", stage);
  put(line, "user", exchange.who_.user);
  json::array groups;
  for (const auto& group : exchange.who_.groups) {
    if (groups.size() == kMostGroups) break;
    groups.push_back(json::value(bounded(group)));
  }
  line["groups"] = std::move(groups);
  put(line, "from", exchange.remote_);
  put(line, "userAgent", exchange.user_agent_);
  put(line, "method", exchange.method_);
  put(line, "verb", question.verb);
  put(line, "path", question.path);
  put(line, "apiGroup", question.group);
  put(line, "resource", question.resource);
  if (question.path.empty()) put(line, "cluster", question.cluster ? *question.cluster : "*");
  put(line, "namespace", question.namespace_name);
  put(line, "name", question.name);
  put(line, "decision", exchange.decision_);
  put(line, "rule", exchange.rule_);
  line["code"] = exchange.code_;
  if (stage != "watch-started") {
    line["bytes"] = exchange.bytes_;
    line["milliseconds"] =
        std::chrono::duration_cast<std::chrono::milliseconds>(clock_.now() - exchange.begun_).count();
    put(line, "cut", exchange.cut_);
  }
  audit_(json_text(line));
}

}  // namespace tinf::api
