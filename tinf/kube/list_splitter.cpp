// Inside an item, which is nearly all of a list, 64 bytes become five bit masks and whole blocks are passed with two
// population counts; around the items a plain state machine will do.
#include "tinf/kube/list_splitter.h"

#include <simdjson.h>

#include <bit>
#include <cstring>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "tinf/kube/api_status.h"

namespace tinf::kube {
namespace {

constexpr std::size_t kBlock = 64;
constexpr std::size_t kLargestItem = 32u << 20;  // etcd takes 1.5 MiB by default, 8 MiB if asked; the rest is a fault.
constexpr std::size_t kLargestEnvelope = 1u
                                         << 20;  // A continue token of a few hundred bytes is the longest thing there.

struct Masks {
  std::uint64_t backslash = 0, quote = 0, open = 0, close = 0;
};

// '{' and '[', and '}' and ']', differ in the one bit that is set here.
constexpr char kBracketBit = 0x20;

Masks classify(const char* block) {
  Masks masks;
#if defined(__SSE2__)
  const __m128i backslash = _mm_set1_epi8('\\'), quote = _mm_set1_epi8('"'), open = _mm_set1_epi8('{'),
                close = _mm_set1_epi8('}'), bit = _mm_set1_epi8(kBracketBit);
  for (int i = 0; i < 4; ++i) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block) + i);
    const __m128i folded = _mm_or_si128(bytes, bit);
    const auto mask = [i](__m128i equal) {
      return static_cast<std::uint64_t>(static_cast<std::uint32_t>(_mm_movemask_epi8(equal))) << (16 * i);
    };
    masks.backslash |= mask(_mm_cmpeq_epi8(bytes, backslash));
    masks.quote |= mask(_mm_cmpeq_epi8(bytes, quote));
    masks.open |= mask(_mm_cmpeq_epi8(folded, open));
    masks.close |= mask(_mm_cmpeq_epi8(folded, close));
  }
#else
  for (std::size_t i = 0; i < kBlock; ++i) {
    const std::uint64_t bit = std::uint64_t{1} << i;
    const char c = block[i];
    if (c == '\\') masks.backslash |= bit;
    if (c == '"') masks.quote |= bit;
    if ((c | kBracketBit) == '{') masks.open |= bit;
    if ((c | kBracketBit) == '}') masks.close |= bit;
  }
#endif
  return masks;
}

// Bit i of the result is the parity of the bits 0 to i: between two quotes it is one.
std::uint64_t prefix_parity(std::uint64_t bits) {
  for (int shift = 1; shift < 64; shift *= 2) bits ^= bits << shift;
  return bits;
}

bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

Error broken(std::string_view what, std::string_view bytes) {
  return Error(Code::Invalid, "a list's JSON " + std::string(what) + " at: " + excerpt(bytes));
}

Result<ListEnvelope> parse_envelope(std::string_view json) {
  simdjson::dom::parser parser;
  simdjson::dom::object root;
  if (auto error = parser.parse(json.data(), json.size()).get(root)) {
    return Error(Code::Invalid,
                 std::string("a list's JSON is broken around its items: ") + simdjson::error_message(error));
  }
  ListEnvelope envelope;
  const auto text = [](simdjson::simdjson_result<simdjson::dom::element> value) {
    std::string_view found;
    return value.get(found) ? std::string() : std::string(found);
  };
  envelope.kind = text(root["kind"]);
  envelope.api_version = text(root["apiVersion"]);
  envelope.resource_version = text(root["metadata"]["resourceVersion"]);
  envelope.continue_token = text(root["metadata"]["continue"]);
  std::uint64_t count = 0;
  if (!root["metadata"]["remainingItemCount"].get(count)) envelope.remaining_item_count = count;
  // Under an oddly spelt key the items were not found; a list that only looks empty must not be taken for one.
  simdjson::dom::element items;
  if (!root["items"].get(items) && !items.is_null()) {
    simdjson::dom::array array;
    if (items.get(array) || array.size() > 0)
      return Error(Code::Invalid, "a list's items cannot be found: " + excerpt(json));
  }
  return envelope;
}

}  // namespace

std::optional<std::size_t> ObjectEnd::find(std::string_view bytes) {
  for (std::size_t at = 0; at < bytes.size(); at += kBlock) {
    const std::size_t length = std::min(kBlock, bytes.size() - at);
    Masks masks;
    if (length == kBlock) {
      masks = classify(bytes.data() + at);
    } else {
      char padded[kBlock];
      std::memset(padded, ' ', kBlock);
      std::memcpy(padded, bytes.data() + at, length);
      masks = classify(padded);
    }

    // A backslash that is itself escaped escapes nothing; runs are short, so they are walked.
    std::uint64_t escaped = escaped_ ? 1 : 0;
    bool escapes_next_block = false;
    for (std::uint64_t rest = masks.backslash & ~escaped; rest != 0;) {
      const int bit = std::countr_zero(rest);
      rest &= rest - 1;
      if (static_cast<std::size_t>(bit) + 1 == length) {
        escapes_next_block = true;
      } else {
        escaped |= std::uint64_t{2} << bit;
        rest &= ~(std::uint64_t{2} << bit);
      }
    }
    escaped_ = escapes_next_block;

    const std::uint64_t inside = prefix_parity(masks.quote & ~escaped) ^ (in_string_ ? ~std::uint64_t{0} : 0);
    in_string_ = (inside >> (length - 1)) & 1;
    const std::uint64_t open = masks.open & ~inside;
    const std::uint64_t close = masks.close & ~inside;
    const auto closing = static_cast<std::uint64_t>(std::popcount(close));
    if (closing < depth_) {  // It cannot end in this block.
      depth_ += static_cast<std::uint64_t>(std::popcount(open)) - closing;
      continue;
    }
    for (std::uint64_t rest = open | close; rest != 0; rest &= rest - 1) {
      const int bit = std::countr_zero(rest);
      if ((open >> bit) & 1) {
        ++depth_;
      } else if (--depth_ == 0) {
        *this = ObjectEnd();
        return at + static_cast<std::size_t>(bit) + 1;
      }
    }
  }
  return std::nullopt;
}

Result<void> ListSplitter::feed(std::string_view chunk) {
  while (!chunk.empty()) {
    Result<std::size_t> taken = phase_ == Phase::InItem                            ? in_item(chunk)
                                : phase_ == Phase::Around || phase_ == Phase::Done ? around(chunk)
                                                                                   : between(chunk);
    if (!taken) return taken.error();
    chunk.remove_prefix(*taken);
  }
  return Result<void>();
}

// True if what was read so far ends in the root's key "items" and its colon.
bool ListSplitter::at_items() const {
  std::string_view text = envelope_text_;
  const auto trim = [&text] {
    while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  };
  constexpr std::string_view kKey = "\"items\"";
  trim();
  if (!text.ends_with(':')) return false;
  text.remove_suffix(1);
  trim();
  if (!text.ends_with(kKey)) return false;
  text.remove_suffix(kKey.size());
  trim();
  return text.ends_with('{') || text.ends_with(',');
}

Result<std::size_t> ListSplitter::around(std::string_view bytes) {
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    const char c = bytes[at];
    if (depth_ == 0 && !is_space(c) && (c != '{' || phase_ == Phase::Done)) {
      return broken(phase_ == Phase::Done ? "goes on after its end" : "is not an object", bytes.substr(at));
    }
    if (envelope_text_.size() >= kLargestEnvelope) return broken("has no items in its first MiB", envelope_text_);
    envelope_text_.push_back(c);
    if (in_string_) {
      if (escaped_) {
        escaped_ = false;
      } else if (c == '\\') {
        escaped_ = true;
      } else if (c == '"') {
        in_string_ = false;
      }
      continue;
    }
    if (c == '"') {
      in_string_ = true;
    } else if (c == '{' || c == '[') {
      if (c == '[' && depth_ == 1) {
        envelope_text_.pop_back();
        const bool starts_items = at_items();
        envelope_text_.push_back(c);
        if (starts_items) {
          if (std::exchange(items_seen_, true)) return broken("has items twice", bytes.substr(at));
          auto envelope = parse_envelope(envelope_text_ + "]}");
          if (!envelope) return envelope.error();
          so_far_ = std::move(*envelope);
          phase_ = Phase::BeforeFirst;
          return at + 1;
        }
      }
      ++depth_;
    } else if (c == '}' || c == ']') {
      if (--depth_ == 0) phase_ = Phase::Done;
    }
  }
  return bytes.size();
}

Result<std::size_t> ListSplitter::between(std::string_view bytes) {
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    const char c = bytes[at];
    if (is_space(c)) continue;
    if (c == '{' && phase_ != Phase::AfterItem) {
      phase_ = Phase::InItem;
      return at;
    }
    if (c == ',' && phase_ == Phase::AfterItem) {
      phase_ = Phase::BeforeItem;
    } else if (c == ']' && phase_ != Phase::BeforeItem) {
      envelope_text_.push_back(c);
      phase_ = Phase::Around;
      return at + 1;
    } else {
      return broken("is broken between two items", bytes.substr(at));
    }
  }
  return bytes.size();
}

Result<std::size_t> ListSplitter::in_item(std::string_view bytes) {
  const auto end = item_end_.find(bytes);
  const std::string_view part = bytes.substr(0, end.value_or(bytes.size()));
  if (partial_item_.size() + part.size() > kLargestItem) return broken("has an item of more than 32 MiB", bytes);
  if (!end) {
    partial_item_.append(part);
    return bytes.size();
  }
  std::string_view item = part;
  if (!partial_item_.empty()) item = partial_item_.append(part);
  Result<void> taken = on_item_(item, so_far_);
  partial_item_.clear();
  phase_ = Phase::AfterItem;
  if (!taken) return taken.error();
  return *end;
}

Result<ListEnvelope> ListSplitter::finish() {
  if (phase_ != Phase::Done) return Error(Code::Unavailable, "a list ended in the middle: the connection was cut");
  auto envelope = parse_envelope(envelope_text_);
  if (!envelope) return envelope.error();
  if (!envelope->kind.ends_with("List")) {
    return Error(Code::Invalid, "not a list but a " +
                                    (envelope->kind.empty() ? "thing without a kind" : envelope->kind) + ": " +
                                    excerpt(envelope_text_));
  }
  return envelope;
}

}  // namespace tinf::kube
