// Selectors mean what they mean to kubectl, and equal meanings get equal canonical forms.
#include "tinf/object/selector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tinf {
namespace {

using ::testing::HasSubstr;

using Labels = std::vector<std::pair<std::string, std::string>>;

bool selects(std::string_view selector, const Labels& labels) {
  auto parsed = LabelSelector::parse(selector);
  EXPECT_TRUE(parsed) << selector << (parsed ? "" : ": " + parsed.error().message);
  return parsed && parsed->matches(labels);
}

TEST(LabelSelector, SelectsByEachOperator) {
  const Labels web{{"app", "web"}, {"tier", "2"}, {"example.com/x", ""}};
  for (const auto* yes :
       {"", "app=web", "app==web", "app!=db", "none!=x", "app in (db,web)", "app notin (db)", "none notin (a)", "app",
        "!none", "tier>1", "tier<3", "app=web,tier in (1, 2),!none", " app  =  web , tier ",
        "example.com/x=", "example.com/x", "example.com/x in (,a)", "app in (in,notin,web)"}) {
    EXPECT_TRUE(selects(yes, web)) << yes;
  }
  for (const auto* no : {"app=db", "app!=web", "app in (db)", "app notin (db,web)", "none", "!app", "tier>2", "tier<2",
                         "app>1", "none<1", "app=web,tier=3", "app=", "none in (a)", "none=", "Web=web"}) {
    EXPECT_FALSE(selects(no, web)) << no;
  }
  EXPECT_TRUE(selects("in in (in)", {{"in", "in"}}));
}

TEST(LabelSelector, KnowsTheValuesThatALabelMayHave) {
  const auto allowed = [](std::string_view text) { return LabelSelector::parse(text).value().allowed_values("a"); };
  EXPECT_EQ(allowed("a=x"), (std::vector<std::string>{"x"}));
  EXPECT_EQ(allowed("a in (z,x,y),b=1,a in (y,z,u),a!=z"), (std::vector<std::string>{"y", "z"}));
  EXPECT_EQ(allowed("a=x,a=y"), std::vector<std::string>());
  for (const auto* any : {"", "b=x", "a!=x", "a", "!a", "a notin (x)", "a>1"})
    EXPECT_EQ(allowed(any), std::nullopt) << any;
}

TEST(LabelSelector, HasOneCanonicalFormForOneMeaning) {
  const auto canonical = [](std::string_view text) { return LabelSelector::parse(text).value().canonical(); };
  EXPECT_EQ(canonical("b in (z, y,y),a==1 , !c,d notin (x),e in (v),e=v"), "a=1,b in (y,z),!c,d!=x,e=v");
  EXPECT_EQ(canonical("a in (b)"), canonical("a=b"));
  EXPECT_EQ(canonical("x in (,a)"), "x in (,a)");
  EXPECT_EQ(canonical(""), "");
  EXPECT_EQ(canonical("n>5,n<9,m"), "m,n>5,n<9");
  for (const auto* text : {"b in (z,y),a==1,!c", "x in (,a)", "x=", "n>5", "a notin (b,c)"}) {
    EXPECT_EQ(canonical(canonical(text)), canonical(text));
  }
}

TEST(LabelSelector, RefusesWhatKubernetesRefusesAndQuotesIt) {
  for (const auto* bad :
       {"a,",         ",a", "a,,b",    "a=b,",   "!",     "!a=b", "a in",       "a in b", "a in ()",  "a in (b",
        "a in (b c)", "=b", "a=b=c",   "a b",    "a>x",   "a>",   "a!b",        "(a)",    "-a",       "a-",
        "a/",         "/a", "A.com/a", "a..b/c", "a/b/c", "a=-b", "a in (b,-)", "a=b c",  "a !in (b)"}) {
    const auto parsed = LabelSelector::parse(bad);
    ASSERT_FALSE(parsed) << bad;
    EXPECT_EQ(parsed.error().code, Code::Invalid);
    EXPECT_THAT(parsed.error().message, HasSubstr(bad));
  }
  EXPECT_FALSE(LabelSelector::parse(std::string(64, 'a')));
  EXPECT_FALSE(LabelSelector::parse("a=" + std::string(64, 'a')));
  EXPECT_TRUE(LabelSelector::parse(std::string(253, 'a') + "/" + std::string(63, 'a') + "=" + std::string(63, 'a')));
}

TEST(LabelSelector, NamesTheValueThatAnIndexCouldAnswer) {
  const auto parsed = LabelSelector::parse("app in (web),tier in (a,b),x!=y").value();
  EXPECT_EQ(parsed.required_value("app"), "web");
  EXPECT_EQ(parsed.required(), (std::vector<std::pair<std::string_view, std::string_view>>{{"app", "web"}}));
  EXPECT_EQ(parsed.required_value("tier"), std::nullopt);
  EXPECT_EQ(parsed.required_value("x"), std::nullopt);
}

TEST(LabelSelector, ReadsTheLabelsOfAnObject) {
  const auto object = Object::parse(R"({"metadata":{"name":"a","labels":{"app":"web"}}})").value();
  EXPECT_TRUE(LabelSelector::parse("app=web")->matches(*object));
  EXPECT_FALSE(LabelSelector::parse("app=db")->matches(*object));
  EXPECT_TRUE(LabelSelector().matches(*object));
}

TEST(FieldSelector, ComparesFieldsByPath) {
  const auto pod =
      Object::parse(
          R"({"metadata":{"name":"a","namespace":"n"},"spec":{"nodeName":"n1","replicas":3,"on":true,"x/y":"z","none":null}})")
          .value();
  for (const auto* yes : {"", "metadata.name=a", "metadata.namespace==n", "spec.nodeName!=n2", "spec.replicas=3",
                          "spec.on=true", "spec.missing=", "spec.none=", "spec.missing!=x",
                          "metadata.name=a,spec.nodeName=n1", "spec.x/y=z", ",metadata.name=a,"}) {
    const auto parsed = FieldSelector::parse(yes);
    ASSERT_TRUE(parsed) << yes;
    EXPECT_TRUE(parsed->matches(*pod)) << yes;
  }
  for (const auto* no : {"metadata.name=b", "metadata.name!=a", "spec.replicas=4", "spec.missing=x",
                         "metadata.name=a,spec.nodeName=n2"}) {
    EXPECT_FALSE(FieldSelector::parse(no)->matches(*pod)) << no;
  }
}

TEST(FieldSelector, QuotesAndSortsInItsCanonicalForm) {
  const auto parsed = FieldSelector::parse(R"(b==x\,y\=z\\,a!=1,a!=1)");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->canonical(), R"(a!=1,b=x\,y\=z\\)");
  EXPECT_EQ(parsed->required_value("b"), R"(x,y=z\)");
  EXPECT_EQ(FieldSelector::parse(parsed->canonical()).value(), *parsed);
}

TEST(FieldSelector, RefusesWhatIsNoTerm) {
  for (const auto* bad : {"a", "=b", "a..b=c", ".a=b", "a.=b", "a=b=c", R"(a=\n)", "a=b,c"}) {
    const auto parsed = FieldSelector::parse(bad);
    ASSERT_FALSE(parsed) << bad;
    EXPECT_THAT(parsed.error().message, HasSubstr(bad));
  }
}

}  // namespace
}  // namespace tinf
