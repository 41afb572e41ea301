// The list splitter: every cut of the bytes gives the same items, and nothing but a list is taken for one.
#include "tinf/kube/list_splitter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace tinf::kube {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Split {
  std::vector<std::string> items;
  std::string kind_at_first_item;
  ListEnvelope envelope;
  std::optional<Error> error;
};

Split split(const std::vector<std::string>& chunks) {
  Split result;
  ListSplitter splitter([&](std::string_view item, const ListEnvelope& so_far) -> Result<void> {
    if (result.items.empty()) result.kind_at_first_item = so_far.kind;
    result.items.emplace_back(item);
    return Result<void>();
  });
  for (const std::string& chunk : chunks) {
    // A copy of its own, so that a sanitizer sees a read beyond its end.
    const std::vector<char> exact(chunk.begin(), chunk.end());
    if (auto fed = splitter.feed(std::string_view(exact.data(), exact.size())); !fed) {
      result.error = fed.error();
      return result;
    }
  }
  auto envelope = splitter.finish();
  if (envelope) {
    result.envelope = *envelope;
  } else {
    result.error = envelope.error();
  }
  return result;
}

const std::string kAwkward = R"({"metadata":{"name":"a\"}]\\","note":"{[\\\"\\\\"},"list":[[],{},"\u005c"]})";
const std::string kPlain = R"({"metadata":{"name":"b"}})";
const std::string kTyped =
    R"({"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"42","continue":"to]k}en","remainingItemCount":7},"items":[)" +
    kAwkward + "," + kPlain + "]}\n";
const std::string kCustom = R"({"apiVersion":"example.com/v1","items": [ )" + kPlain + " , " + kAwkward +
                            R"( ] ,"kind":"WidgetList","metadata":{"continue":"","resourceVersion":"43"}})";

TEST(ListSplitter, FindsTheItemsOfATypedListWhateverTheCut) {
  for (std::size_t cut = 0; cut <= kTyped.size(); ++cut) {
    const Split result = split({kTyped.substr(0, cut), kTyped.substr(cut)});
    ASSERT_FALSE(result.error) << result.error->message;
    ASSERT_THAT(result.items, ElementsAre(kAwkward, kPlain)) << cut;
    EXPECT_EQ(result.kind_at_first_item, "ConfigMapList");
    EXPECT_EQ(result.envelope.resource_version, "42");
    EXPECT_EQ(result.envelope.continue_token, "to]k}en");
    EXPECT_EQ(result.envelope.remaining_item_count, 7u);
    EXPECT_EQ(result.envelope.api_version, "v1");
  }
}

TEST(ListSplitter, FindsTheItemsOfACustomResourceListWhoseKindComesLast) {
  for (std::size_t cut = 0; cut <= kCustom.size(); ++cut) {
    const Split result = split({kCustom.substr(0, cut), kCustom.substr(cut)});
    ASSERT_FALSE(result.error) << result.error->message;
    ASSERT_THAT(result.items, ElementsAre(kPlain, kAwkward)) << cut;
    EXPECT_EQ(result.kind_at_first_item, "");
    EXPECT_EQ(result.envelope.kind, "WidgetList");
    EXPECT_EQ(result.envelope.resource_version, "43");
  }
}

TEST(ListSplitter, FindsTheItemsByteByByte) {
  std::vector<std::string> bytes;
  for (const char c : kTyped) bytes.emplace_back(1, c);
  EXPECT_THAT(split(bytes).items, ElementsAre(kAwkward, kPlain));
}

TEST(ListSplitter, FindsItemsOfAnyLengthAndAnyEscapes) {
  std::mt19937 random(7);
  const std::string alphabet = "\\\\\\\"{}[],:ab ";
  for (int round = 0; round < 300; ++round) {
    std::vector<std::string> items;
    for (int i = 0; i < 4; ++i) {
      std::string text;
      for (std::size_t n = random() % 200; n > 0; --n) {
        const char c = alphabet[random() % alphabet.size()];
        if (c == '\\' || c == '"') text += '\\';
        text += c;
      }
      items.push_back("{\"a\":{\"b\":[\"" + text + "\"]}}");
    }
    const std::string list =
        R"({"kind":"XList","items":[)" + items[0] + "," + items[1] + "," + items[2] + "," + items[3] + "]}";
    std::vector<std::string> chunks;
    for (std::size_t at = 0; at < list.size();) {
      const std::size_t length = 1 + random() % 150;
      chunks.push_back(list.substr(at, length));
      at += length;
    }
    const Split result = split(chunks);
    ASSERT_FALSE(result.error) << result.error->message;
    ASSERT_EQ(result.items, items);
  }
}

TEST(ListSplitter, TakesNullAndNoItemsForAnEmptyList) {
  for (const char* list : {R"({"kind":"PodList","items":null,"metadata":{"resourceVersion":"1"}})",
                           R"({"kind":"PodList","metadata":{"resourceVersion":"1"}})",
                           R"({"kind":"PodList","items":[],"metadata":{"resourceVersion":"1"}})"}) {
    const Split result = split({list});
    EXPECT_FALSE(result.error) << result.error->message;
    EXPECT_THAT(result.items, IsEmpty());
    EXPECT_EQ(result.envelope.resource_version, "1");
  }
}

TEST(ListSplitter, IsNotMisledByAnInnerOrAQuotedItems) {
  const Split result =
      split({R"({"kind":"XList","metadata":{"items":[{"a":1}]},"note":"items","x":["items",[1]],"items":[{"b":2}]})"});
  ASSERT_FALSE(result.error) << result.error->message;
  EXPECT_THAT(result.items, ElementsAre(R"({"b":2})"));
}

TEST(ListSplitter, SaysThatATruncatedListWasCut) {
  for (std::size_t cut = 0; cut + 2 < kTyped.size(); ++cut) {
    const Split result = split({kTyped.substr(0, cut)});
    ASSERT_TRUE(result.error) << cut;
    ASSERT_EQ(result.error->code, Code::Unavailable) << cut;
  }
}

TEST(ListSplitter, RefusesWhatIsNoList) {
  for (const char* garbage :
       {"<html>", "[]", "{} {}", "{}", R"({"kind":"Status","code":500})", R"({"kind":"Table","rows":[{"cells":[]}]})",
        R"({"kind":"XList","items":[1]})", R"({"kind":"XList","items":[{}{}]})", R"({"kind":"XList","items":[{},]})",
        R"({"kind":"XList","items":[,{}]})", R"({"kind":"XList","items":{"a":1}})",
        R"({"kind":"XList","items":[],"items":[]})", R"({"kind":"XList","\u0069tems":[{"a":1}]})",
        R"({"kind":"XList","items":[],})", R"({"kind" "XList","items":[]})", "}"}) {
    const Split result = split({garbage});
    ASSERT_TRUE(result.error) << garbage;
    EXPECT_EQ(result.error->code, Code::Invalid) << garbage << ": " << result.error->message;
  }
}

TEST(ListSplitter, BoundsWhatItKeeps) {
  const Split result = split({R"({"kind":"Table","rows":[)", std::string(2u << 20, ' ')});
  ASSERT_TRUE(result.error);
  EXPECT_THAT(result.error->message, HasSubstr("no items in its first MiB"));
}

TEST(ListSplitter, PassesOnTheErrorOfWhoeverTakesTheItems) {
  ListSplitter splitter(
      [](std::string_view, const ListEnvelope&) -> Result<void> { return Error(Code::Internal, "no"); });
  auto fed = splitter.feed(kTyped);
  ASSERT_FALSE(fed);
  EXPECT_EQ(fed.error().message, "no");
}

}  // namespace
}  // namespace tinf::kube
