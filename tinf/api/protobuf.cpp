// Kubernetes' protobuf to JSON: a generic wire reader and one table of fields, numbered as in the generated.proto files
// of k8s.io/api and k8s.io/apimachinery. What the table lacks is refused unless it is empty: nothing is dropped in
// silence.
#include <array>
#include <cstdio>
#include <optional>

#include "tinf/api/body.h"
#include "tinf/api/timestamp.h"
#include "tinf/base/base64.h"
#include "tinf/patch/json.h"

namespace tinf::api {
namespace json = boost::json;
namespace {

enum class As {
  Text,
  Number,
  Bool,
  Bytes,
  Message,
  TextMap,
  BytesMap,
  Time,
  MicroTime,
  IntOrText,
  Quantity,
  QuantityMap
};
enum class Often {
  Once,      // Zero and empty mean "not said".
  Optional,  // A pointer in Go: zero is said, too.
  Many,
};

struct Field {
  std::string_view message;
  int number;
  const char* name;
  As as;
  Often often = Often::Once;
  const char* type = "";
};

constexpr std::array kFields{
    Field{"ObjectMeta", 1, "name", As::Text},
    Field{"ObjectMeta", 2, "generateName", As::Text},
    Field{"ObjectMeta", 3, "namespace", As::Text},
    Field{"ObjectMeta", 5, "uid", As::Text},
    Field{"ObjectMeta", 6, "resourceVersion", As::Text},
    Field{"ObjectMeta", 7, "generation", As::Number},
    Field{"ObjectMeta", 8, "creationTimestamp", As::Time},
    Field{"ObjectMeta", 9, "deletionTimestamp", As::Time},
    Field{"ObjectMeta", 10, "deletionGracePeriodSeconds", As::Number, Often::Optional},
    Field{"ObjectMeta", 11, "labels", As::TextMap},
    Field{"ObjectMeta", 12, "annotations", As::TextMap},
    Field{"ObjectMeta", 13, "ownerReferences", As::Message, Often::Many, "OwnerReference"},
    Field{"ObjectMeta", 14, "finalizers", As::Text, Often::Many},
    Field{"OwnerReference", 1, "kind", As::Text},
    Field{"OwnerReference", 3, "name", As::Text},
    Field{"OwnerReference", 4, "uid", As::Text},
    Field{"OwnerReference", 5, "apiVersion", As::Text},
    Field{"OwnerReference", 6, "controller", As::Bool, Often::Optional},
    Field{"OwnerReference", 7, "blockOwnerDeletion", As::Bool, Often::Optional},
    Field{"LocalObjectReference", 1, "name", As::Text},

    Field{"Namespace", 1, "metadata", As::Message, Often::Once, "ObjectMeta"},
    Field{"Namespace", 2, "spec", As::Message, Often::Once, "NamespaceSpec"},
    Field{"Namespace", 3, "status", As::Message, Often::Once, "NamespaceStatus"},
    Field{"NamespaceSpec", 1, "finalizers", As::Text, Often::Many},
    Field{"NamespaceStatus", 1, "phase", As::Text},

    Field{"ConfigMap", 1, "metadata", As::Message, Often::Once, "ObjectMeta"},
    Field{"ConfigMap", 2, "data", As::TextMap},
    Field{"ConfigMap", 3, "binaryData", As::BytesMap},
    Field{"ConfigMap", 4, "immutable", As::Bool, Often::Optional},

    Field{"Secret", 1, "metadata", As::Message, Often::Once, "ObjectMeta"},
    Field{"Secret", 2, "data", As::BytesMap},
    Field{"Secret", 3, "type", As::Text},
    Field{"Secret", 4, "stringData", As::TextMap},
    Field{"Secret", 5, "immutable", As::Bool, Often::Optional},

    Field{"ServiceAccount", 1, "metadata", As::Message, Often::Once, "ObjectMeta"},
    Field{"ServiceAccount", 3, "imagePullSecrets", As::Message, Often::Many, "LocalObjectReference"},
    Field{"ServiceAccount", 4, "automountServiceAccountToken", As::Bool, Often::Optional},

    Field{"Service", 1, "metadata", As::Message, Often::Once, "ObjectMeta"},
    Field{"Service", 2, "spec", As::Message, Often::Once, "ServiceSpec"},
    Field{"ServiceSpec", 1, "ports", As::Message, Often::Many, "ServicePort"},
    Field{"ServiceSpec", 2, "selector", As::TextMap},
    Field{"ServiceSpec", 3, "clusterIP", As::Text},
    Field{"ServiceSpec", 4, "type", As::Text},
    Field{"ServiceSpec", 5, "externalIPs", As::Text, Often::Many},
    Field{"ServiceSpec", 7, "sessionAffinity", As::Text},
    Field{"ServiceSpec", 8, "loadBalancerIP", As::Text},
    Field{"ServiceSpec", 10, "externalName", As::Text},
    Field{"ServiceSpec", 11, "externalTrafficPolicy", As::Text},
    Field{"ServiceSpec", 13, "publishNotReadyAddresses", As::Bool},
    Field{"ServiceSpec", 17, "ipFamilyPolicy", As::Text},
    Field{"ServiceSpec", 18, "clusterIPs", As::Text, Often::Many},
    Field{"ServiceSpec", 19, "ipFamilies", As::Text, Often::Many},
    Field{"ServiceSpec", 22, "internalTrafficPolicy", As::Text},
    Field{"ServicePort", 1, "name", As::Text},
    Field{"ServicePort", 2, "protocol", As::Text},
    Field{"ServicePort", 3, "port", As::Number},
    Field{"ServicePort", 4, "targetPort", As::IntOrText},
    Field{"ServicePort", 5, "nodePort", As::Number},
    Field{"ServicePort", 6, "appProtocol", As::Text},

    Field{"Deployment", 1, "metadata", As::Message, Often::Once, "ObjectMeta"},
    Field{"Deployment", 2, "spec", As::Message, Often::Once, "DeploymentSpec"},
    Field{"DeploymentSpec", 1, "replicas", As::Number, Often::Optional},
    Field{"DeploymentSpec", 2, "selector", As::Message, Often::Once, "LabelSelector"},
    Field{"DeploymentSpec", 3, "template", As::Message, Often::Once, "PodTemplateSpec"},
    Field{"DeploymentSpec", 4, "strategy", As::Message, Often::Once, "DeploymentStrategy"},
    Field{"DeploymentSpec", 5, "minReadySeconds", As::Number},
    Field{"DeploymentSpec", 6, "revisionHistoryLimit", As::Number, Often::Optional},
    Field{"DeploymentSpec", 7, "paused", As::Bool},
    Field{"DeploymentSpec", 9, "progressDeadlineSeconds", As::Number, Often::Optional},
    Field{"DeploymentStrategy", 1, "type", As::Text},
    Field{"DeploymentStrategy", 2, "rollingUpdate", As::Message, Often::Once, "RollingUpdateDeployment"},
    Field{"RollingUpdateDeployment", 1, "maxUnavailable", As::IntOrText},
    Field{"RollingUpdateDeployment", 2, "maxSurge", As::IntOrText},
    Field{"LabelSelector", 1, "matchLabels", As::TextMap},
    Field{"LabelSelector", 2, "matchExpressions", As::Message, Often::Many, "LabelSelectorRequirement"},
    Field{"LabelSelectorRequirement", 1, "key", As::Text},
    Field{"LabelSelectorRequirement", 2, "operator", As::Text},
    Field{"LabelSelectorRequirement", 3, "values", As::Text, Often::Many},

    Field{"PodTemplateSpec", 1, "metadata", As::Message, Often::Once, "ObjectMeta"},
    Field{"PodTemplateSpec", 2, "spec", As::Message, Often::Once, "PodSpec"},
    Field{"Pod", 1, "metadata", As::Message, Often::Once, "ObjectMeta"},
    Field{"Pod", 2, "spec", As::Message, Often::Once, "PodSpec"},
    Field{"PodSpec", 2, "containers", As::Message, Often::Many, "Container"},
    Field{"PodSpec", 3, "restartPolicy", As::Text},
    Field{"PodSpec", 4, "terminationGracePeriodSeconds", As::Number, Often::Optional},
    Field{"PodSpec", 6, "dnsPolicy", As::Text},
    Field{"PodSpec", 7, "nodeSelector", As::TextMap},
    Field{"PodSpec", 8, "serviceAccountName", As::Text},
    Field{"PodSpec", 9, "serviceAccount", As::Text},
    Field{"PodSpec", 10, "nodeName", As::Text},
    Field{"PodSpec", 11, "hostNetwork", As::Bool},
    Field{"PodSpec", 15, "imagePullSecrets", As::Message, Often::Many, "LocalObjectReference"},
    Field{"PodSpec", 19, "schedulerName", As::Text},
    Field{"PodSpec", 20, "initContainers", As::Message, Often::Many, "Container"},
    Field{"Container", 1, "name", As::Text},
    Field{"Container", 2, "image", As::Text},
    Field{"Container", 3, "command", As::Text, Often::Many},
    Field{"Container", 4, "args", As::Text, Often::Many},
    Field{"Container", 5, "workingDir", As::Text},
    Field{"Container", 6, "ports", As::Message, Often::Many, "ContainerPort"},
    Field{"Container", 7, "env", As::Message, Often::Many, "EnvVar"},
    Field{"Container", 8, "resources", As::Message, Often::Once, "ResourceRequirements"},
    Field{"Container", 13, "terminationMessagePath", As::Text},
    Field{"Container", 14, "imagePullPolicy", As::Text},
    Field{"Container", 16, "stdin", As::Bool},
    Field{"Container", 18, "tty", As::Bool},
    Field{"Container", 20, "terminationMessagePolicy", As::Text},
    Field{"ContainerPort", 1, "name", As::Text},
    Field{"ContainerPort", 2, "hostPort", As::Number},
    Field{"ContainerPort", 3, "containerPort", As::Number},
    Field{"ContainerPort", 4, "protocol", As::Text},
    Field{"EnvVar", 1, "name", As::Text},
    Field{"EnvVar", 2, "value", As::Text},
    Field{"ResourceRequirements", 1, "limits", As::QuantityMap},
    Field{"ResourceRequirements", 2, "requests", As::QuantityMap},

    Field{"Lease", 1, "metadata", As::Message, Often::Once, "ObjectMeta"},
    Field{"Lease", 2, "spec", As::Message, Often::Once, "LeaseSpec"},
    Field{"LeaseSpec", 1, "holderIdentity", As::Text, Often::Optional},
    Field{"LeaseSpec", 2, "leaseDurationSeconds", As::Number, Often::Optional},
    Field{"LeaseSpec", 3, "acquireTime", As::MicroTime},
    Field{"LeaseSpec", 4, "renewTime", As::MicroTime},
    Field{"LeaseSpec", 5, "leaseTransitions", As::Number, Often::Optional},

    Field{"SelfSubjectAccessReview", 1, "metadata", As::Message, Often::Once, "ObjectMeta"},
    Field{"SelfSubjectAccessReview", 2, "spec", As::Message, Often::Once, "SelfSubjectAccessReviewSpec"},
    Field{"SelfSubjectAccessReviewSpec", 1, "resourceAttributes", As::Message, Often::Once, "ResourceAttributes"},
    Field{"SelfSubjectAccessReviewSpec", 2, "nonResourceAttributes", As::Message, Often::Once, "NonResourceAttributes"},
    Field{"ResourceAttributes", 1, "namespace", As::Text},
    Field{"ResourceAttributes", 2, "verb", As::Text},
    Field{"ResourceAttributes", 3, "group", As::Text},
    Field{"ResourceAttributes", 4, "version", As::Text},
    Field{"ResourceAttributes", 5, "resource", As::Text},
    Field{"ResourceAttributes", 6, "subresource", As::Text},
    Field{"ResourceAttributes", 7, "name", As::Text},
    Field{"NonResourceAttributes", 1, "path", As::Text},
    Field{"NonResourceAttributes", 2, "verb", As::Text},
    Field{"SelfSubjectRulesReview", 1, "metadata", As::Message, Often::Once, "ObjectMeta"},
    Field{"SelfSubjectRulesReview", 2, "spec", As::Message, Often::Once, "SelfSubjectRulesReviewSpec"},
    Field{"SelfSubjectRulesReviewSpec", 1, "namespace", As::Text},
    Field{"SelfSubjectReview", 1, "metadata", As::Message, Often::Once, "ObjectMeta"},
    Field{"SelfSubjectReview", 2, "status", As::Message, Often::Once, "SelfSubjectReviewStatus"},
    Field{"SelfSubjectReviewStatus", 1, "userInfo", As::Message, Often::Once, "UserInfo"},
    Field{"UserInfo", 1, "username", As::Text},
    Field{"UserInfo", 2, "uid", As::Text},
    Field{"UserInfo", 3, "groups", As::Text, Often::Many},

    Field{"DeleteOptions", 1, "gracePeriodSeconds", As::Number, Often::Optional},
    Field{"DeleteOptions", 2, "preconditions", As::Message, Often::Once, "Preconditions"},
    Field{"DeleteOptions", 3, "orphanDependents", As::Bool, Often::Optional},
    Field{"DeleteOptions", 4, "propagationPolicy", As::Text},
    Field{"DeleteOptions", 5, "dryRun", As::Text, Often::Many},
    Field{"Preconditions", 1, "uid", As::Text},
    Field{"Preconditions", 2, "resourceVersion", As::Text},
};

const Field* find_field(std::string_view message, int number) {
  for (const auto& field : kFields) {
    if (field.message == message && field.number == number) return &field;
  }
  return nullptr;
}

// True of a whole object, with metadata.
bool is_kind(std::string_view message) {
  const Field* first = find_field(message, 1);
  return first != nullptr && first->type == std::string_view("ObjectMeta") && message != "PodTemplateSpec";
}

// One field as it stands on the wire.
struct WireField {
  int number = 0;
  bool has_bytes = false;
  std::uint64_t number_value = 0;
  std::string_view bytes;

  WireField() = default;
  bool is_empty() const { return has_bytes ? bytes.empty() : number_value == 0; }
};

// Reads field after field. After failed() nothing is to be believed.
class WireReader {
 public:
  explicit WireReader(std::string_view bytes) : rest_(bytes) {}

  bool failed() const { return failed_; }

  std::optional<WireField> next() {
    if (rest_.empty() || failed_) return std::nullopt;
    const auto tag = varint();
    WireField field;
    field.number = static_cast<int>(tag >> 3 & 0x1fffffff);
    switch (tag & 7) {
      case 0:
        field.number_value = varint();
        break;
      case 1:
        take(8);
        field.number_value = 1;  // No field of ours; only that it is there counts.
        break;
      case 2:
        field.has_bytes = true;
        field.bytes = take(varint());
        break;
      case 5:
        take(4);
        field.number_value = 1;
        break;
      default:
        failed_ = true;
    }
    if (failed_) return std::nullopt;
    return field;
  }

 private:
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) break;
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    failed_ = true;
    return 0;
  }

  std::string_view take(std::uint64_t count) {
    if (count > rest_.size()) {
      failed_ = true;
      return {};
    }
    const auto taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

  std::string_view rest_;
  bool failed_ = false;
};

json::string text(std::string_view value) {
  return json::string(json::string_view(value.data(), value.size()));
}

Status unreadable() {
  return Status::bad_request("the body of the request is not a readable protobuf message");
}

// Fields 1 and 2 of a small message, which is what entries, times and quantities are.
struct Pair {
  WireField first;
  WireField second;
  WireField third;

  Pair() = default;
};

std::optional<Pair> pair_of(std::string_view bytes) {
  WireReader reader(bytes);
  Pair pair;
  while (const auto field = reader.next()) {
    if (field->number == 1) pair.first = *field;
    if (field->number == 2) pair.second = *field;
    if (field->number == 3) pair.third = *field;
  }
  if (reader.failed()) return std::nullopt;
  return pair;
}

constexpr std::int64_t kLastSecond = 253'402'300'799;  // Of the year 9999, with which RFC 3339 ends.

json::value time_of(const Pair& pair, bool micro) {
  const std::chrono::sys_seconds time(std::chrono::seconds(static_cast<std::int64_t>(pair.first.number_value)));
  if (time <= std::chrono::sys_seconds()) return nullptr;
  std::string written = timestamp(time);
  if (micro) {
    char fraction[16];
    std::snprintf(fraction, sizeof fraction, ".%06uZ",
                  static_cast<unsigned>(pair.second.number_value / 1000 % 1'000'000));
    written.replace(written.size() - 1, 1, fraction);
  }
  return text(written);
}

Answer<json::object> object_of(std::string_view message, std::string_view bytes);

Answer<json::value> value_of(const Field& field, const WireField& wire) {
  const bool number = field.as == As::Number || field.as == As::Bool;
  if (number == wire.has_bytes) return unreadable();
  switch (field.as) {
    case As::Text:
      return json::value(text(wire.bytes));
    case As::Number:
      return json::value(static_cast<std::int64_t>(wire.number_value));
    case As::Bool:
      return json::value(wire.number_value != 0);
    case As::Bytes:
      return json::value(text(base64_encode(wire.bytes)));
    case As::Message: {
      auto object = object_of(field.type, wire.bytes);
      if (!object) return object.error();
      return json::value(std::move(*object));
    }
    default:
      break;
  }
  const auto pair = pair_of(wire.bytes);
  if (!pair) return unreadable();
  switch (field.as) {
    case As::Time:
    case As::MicroTime:
      if (static_cast<std::int64_t>(pair->first.number_value) > kLastSecond) return unreadable();
      return time_of(*pair, field.as == As::MicroTime);
    case As::IntOrText:  // 1: which of them; 2: the number; 3: the text.
      if (pair->first.number_value == 0) return json::value(static_cast<std::int64_t>(pair->second.number_value));
      return json::value(text(pair->third.bytes));
    default:  // Quantity: its text.
      return json::value(text(pair->first.bytes));
  }
}

Answer<void> add_entry(const Field& field, const WireField& wire, json::object& map) {
  const auto entry = pair_of(wire.bytes);
  if (!entry) return unreadable();
  const auto key = text(entry->first.bytes);
  if (field.as == As::TextMap) {
    map[key] = text(entry->second.bytes);
  } else if (field.as == As::BytesMap) {
    map[key] = text(base64_encode(entry->second.bytes));
  } else {
    const auto quantity = pair_of(entry->second.bytes);
    if (!quantity) return unreadable();
    map[key] = text(quantity->first.bytes);
  }
  return {};
}

bool says_nothing(const Field& field, const json::value& value) {
  if (value.is_null()) return true;
  if (value.is_object()) return value.get_object().empty();
  if (field.often != Often::Once) return false;
  return value == json::value("") || value == json::value(0) || value == json::value(false);
}

// Recursion ends with the table, in which no message holds itself.
Answer<json::object> object_of(std::string_view message, std::string_view bytes) {
  WireReader reader(bytes);
  json::object object;
  while (const auto wire = reader.next()) {
    const Field* field = find_field(message, wire->number);
    if (field == nullptr) {
      // Of a whole object, 3 is the status, which is the server's to write; unwritten it arrives as zeros in messages.
      if (wire->is_empty() || (is_kind(message) && wire->number == 3)) continue;
      return Status::unsupported_media_type("field " + std::to_string(wire->number) + " of " + std::string(message) +
                                            " is not understood in protobuf: send application/json");
    }
    const bool is_map = field->as == As::TextMap || field->as == As::BytesMap || field->as == As::QuantityMap;
    if (is_map) {
      if (!wire->has_bytes) return unreadable();
      auto added = add_entry(*field, *wire, json_object_in(object, field->name));
      if (!added) return added.error();
      continue;
    }
    auto value = value_of(*field, *wire);
    if (!value) return value.error();
    if (field->often == Often::Many) {
      json::value& list = object[field->name];
      if (!list.is_array()) list = json::array();
      list.get_array().push_back(std::move(*value));
    } else if (!says_nothing(*field, *value)) {
      object[field->name] = std::move(*value);
    }
  }
  if (reader.failed()) return unreadable();
  return object;
}

}  // namespace

Answer<json::value> tree_of_protobuf(std::string_view bytes) {
  constexpr std::string_view kMagic("k8s\0", 4);
  if (!bytes.starts_with(kMagic)) return unreadable();
  const auto envelope = pair_of(bytes.substr(kMagic.size()));
  const auto type = envelope ? pair_of(envelope->first.bytes) : std::nullopt;
  if (!type) return unreadable();
  const auto kind = type->second.bytes;
  if (!is_kind(kind) && kind != "DeleteOptions") {
    return Status::unsupported_media_type("objects of kind \"" + std::string(kind) +
                                          "\" are not accepted as protobuf: send application/json");
  }
  auto object = object_of(kind, envelope->second.bytes);
  if (!object) return object.error();
  json::object document{{"kind", text(kind)}, {"apiVersion", text(type->first.bytes)}};
  for (auto& member : *object) document[member.key()] = std::move(member.value());
  return json::value(std::move(document));
}

}  // namespace tinf::api
