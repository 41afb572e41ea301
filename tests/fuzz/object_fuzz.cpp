// Objects and the selectors that are held against them: what an API server, a broker and a command line may say.
//
// An input is text:
//   o<digit><pointer>      an object. The digit is the sum of 1 (keep managedFields) and 2 (the list names kind and
//   <object>               version); values are looked up at the JSON pointer
//
//   s<label selector>      both selectors, and an object to match
//   <field selector>
//   <object>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "tests/fuzz/fuzz.h"
#include "tinf/object/object.h"
#include "tinf/object/selector.h"

namespace tinf::fuzz {
namespace {

namespace json = boost::json;

// Another reader of JSON than the one under test; nothing where it refuses.
std::optional<json::value> tree_of(std::string_view text) {
  json::parse_options options;
  options.max_depth = 512;
  boost::system::error_code failure;
  auto tree = json::parse(json::string_view(text.data(), text.size()), failure, {}, options);
  if (failure) return std::nullopt;
  return tree;
}

// Reading an object's values anywhere must not fail, and what it finds is JSON that stands in the object.
void look_at(const Object& object, std::string_view pointer) {
  const auto found = object.json_at(pointer);
  if (found) {
    const auto raw = object.raw();
    demand(found->data() >= raw.data() && found->data() + found->size() <= raw.data() + raw.size(),
           "a value found is a view into the object");
    demand(tree_of(*found).has_value(), "a value found is JSON", *found);
  }
  const auto text = object.string_at(pointer);
  const auto number = object.integer_at(pointer);
  demand(found || (!text && !number), "a value that is there is found in each form");
  demand(!text || !number, "a value is a string or a number");
  if (text) demand(tree_of(*found)->get_string() == *text, "a string is unescaped", *found);
  (void)object.annotations();
}

void same_metadata(const Object& a, const Object& b) {
  demand(a.key() == b.key() && a.uid() == b.uid() && a.resource_version() == b.resource_version() &&
             a.kind() == b.kind() && a.api_version() == b.api_version() && a.labels() == b.labels() &&
             a.annotations() == b.annotations(),
         "what is kept says the same as what came");
}

// "kind" and "apiVersion" in front and managedFields gone, as the options say, in another reader's tree.
void same_but_for(const ParseOptions& options, const Object& object, const json::value& came) {
  const auto kept = tree_of(object.raw());
  demand(kept.has_value(), "what is kept is JSON", object.raw());
  json::value expected = came;
  auto& members = expected.get_object();
  if (!options.keep_managed_fields) {
    auto& metadata = members["metadata"].get_object();
    const auto* fields = metadata.if_contains("managedFields");
    if (fields != nullptr && fields->is_structured()) metadata.erase("managedFields");
  }
  if (!options.kind.empty() && object.kind() == options.kind) members["kind"] = std::string(options.kind);
  if (!options.api_version.empty() && object.api_version() == options.api_version) {
    members["apiVersion"] = std::string(options.api_version);
  }
  demand(*kept == expected, "an object is kept as it came but for what the options say", object.raw());
}

// Names and versions are what another reader makes of their JSON, escapes and all.
void same_texts(const Object& object, const json::object& came) {
  const auto text = [](const json::object& of, std::string_view name) {
    const json::value* const value = of.if_contains(name);
    return value != nullptr && value->is_string() ? std::string_view(value->get_string()) : std::string_view();
  };
  const json::object& metadata = came.at("metadata").as_object();
  demand(object.name() == text(metadata, "name"), "a name is its text", object.raw());
  demand(object.namespace_name() == text(metadata, "namespace"), "a namespace is its text", object.raw());
  demand(object.uid() == text(metadata, "uid"), "a uid is its text", object.raw());
  demand(object.resource_version() == text(metadata, "resourceVersion"), "a version is its text", object.raw());
  demand(ObjectKey::from_string(object.key().to_string()) == std::optional(object.key()),
         "a key can be written and read", object.raw());
}

// Of a label that is there twice, the first one counts.
std::string value_of(const std::vector<std::pair<std::string, std::string>>& labels, const std::string& key) {
  return std::find_if(labels.begin(), labels.end(), [&](const auto& label) { return label.first == key; })->second;
}

void play_object(std::string_view input) {
  if (input.empty()) return;
  const unsigned form = static_cast<unsigned char>(input.front() - '0');
  input.remove_prefix(1);
  const auto pointer = take(input);
  const Exact text(input);
  ParseOptions options;
  options.keep_managed_fields = (form & 1) != 0;
  if (form & 2) {
    options.kind = "ConfigMap";
    options.api_version = "example.com/v1";
  }
  const auto object = Object::parse(text.view(), options);
  if (!object) {
    demand(object.error().code == Code::Invalid && !object.error().message.empty(), "a refusal says why");
    return;
  }
  const Object& kept = **object;
  if (form == 1) demand(kept.raw() == text.view(), "an object that nothing is cut from keeps its bytes");
  const auto came = tree_of(text.view());
  if (came) {
    same_but_for(options, kept, *came);
    same_texts(kept, came->as_object());
  }

  ParseOptions as_it_is;
  as_it_is.keep_managed_fields = true;
  const auto again = Object::parse(kept.raw(), as_it_is);
  demand(again.has_value(), "what is kept can be parsed", kept.raw());
  demand((*again)->raw() == kept.raw(), "what is kept stays as it is");
  same_metadata(kept, **again);
  const auto cut_again = Object::parse(kept.raw(), options);
  demand(cut_again.has_value() && (*cut_again)->raw() == kept.raw(), "cutting twice is cutting once", kept.raw());
  look_at(kept, pointer);
  look_at(kept, "/metadata/labels");

  const auto labels = kept.labels();
  for (const auto& [key, value] : labels) {
    if (!check_label_key(key) || !check_label_value(value)) continue;
    const auto selector = LabelSelector::parse(key + "=" + value);
    demand(selector.has_value(), "a good label can be selected by", key);
    demand(value != value_of(labels, key) || selector->matches(kept), "an object is selected by its label", key);
  }
}

template <class Selector>
void play_selector(std::string_view text, const Object* object) {
  const Exact exact(text);
  const auto selector = Selector::parse(exact.view());
  if (!selector) {
    demand(selector.error().code == Code::Invalid, "a selector is refused as Invalid");
    demand(selector.error().message.find("selector \"" + std::string(text) + "\"") != std::string::npos,
           "a refusal quotes the selector", selector.error().message);
    return;
  }
  const std::string canonical = selector->canonical();
  const auto again = Selector::parse(canonical);
  demand(again.has_value(), "a canonical form can be parsed", canonical);
  demand(*again == *selector, "a canonical form means the same", canonical);
  demand(again->canonical() == canonical, "a canonical form is its own", canonical);
  demand(selector->empty() == canonical.empty(), "only what selects everything is written as nothing", canonical);
  if (object == nullptr) return;
  const bool matches = selector->matches(*object);
  demand(again->matches(*object) == matches, "a canonical form selects the same objects", canonical);
  demand(matches || !selector->empty(), "no selector selects everything");
  if constexpr (std::is_same_v<Selector, LabelSelector>) {
    const auto labels = object->labels();
    for (const auto& [key, value] : labels) {
      const auto required = selector->required_value(key);
      demand(!matches || !required || value_of(labels, key) == *required,
             "a selected object has the value that an index would look for", key);
    }
  } else {
    auto paths = selector->paths();
    paths.resize(std::min<std::size_t>(paths.size(), 4));  // Each costs a parse of all of them.
    for (const auto path : paths) {
      const auto both = Selector::parse(canonical + "," + std::string(path) + "==x," + std::string(path) + "!=x");
      if (both) demand(!both->matches(*object), "no object has a value and has it not", path);
    }
  }
}

void play_selectors(std::string_view input) {
  const auto labels = take(input);
  const auto fields = take(input);
  const auto object = Object::parse(input);
  play_selector<LabelSelector>(labels, object ? object->get() : nullptr);
  play_selector<FieldSelector>(fields, object ? object->get() : nullptr);
}

}  // namespace
}  // namespace tinf::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(bytes), size);
  if (input.starts_with('o')) tinf::fuzz::play_object(input.substr(1));
  if (input.starts_with('s')) tinf::fuzz::play_selectors(input.substr(1));
  return 0;
}
