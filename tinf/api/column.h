// Column: one cell of each object, and the cells that many kinds share. The tables of the kinds are beside it, in
// columns_of_*.cpp; they show what kube-apiserver's own printers show, always in the wide form, as that does.
#pragma once

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <map>
#include <string>
#include <vector>

#include "tinf/base/clock.h"
#include "tinf/object/text.h"
#include "tinf/patch/json.h"

namespace tinf::api {

using Tree = boost::json::value;
using Cell = boost::json::value (*)(const Tree& object, WallTime now);
using Path = std::initializer_list<std::string_view>;

struct Column {
  const char* name;
  const char* type;
  int priority;  // 1: with -o wide only.
  Cell cell;
  const char* format = "";
};
using Columns = std::vector<Column>;
using ColumnTable = std::map<std::string, Columns, std::less<>>;  // By resource.group.

// The built-in kinds, by what they are about.
const ColumnTable& columns_of_workloads();
const ColumnTable& columns_of_networking();
const ColumnTable& columns_of_storage();
const ColumnTable& columns_of_cluster();     // Nodes, namespaces, what is configured, who may do what.
const ColumnTable& columns_of_extensions();  // What the API server itself is extended and governed by.

// What an object has at a path, whatever is there.
const boost::json::array& list_at(const Tree& object, Path path);  // Empty if it is none.
std::size_t count_at(const Tree& object, Path path);               // Of an object's or a list's members.
bool is_true_at(const Tree& object, Path path);
bool is_at(const Tree& object, Path path);  // Something other than null.
std::string string_at(const Tree& object, Path path);
std::string scalar_at(const Tree& object, Path path);  // A string as it is, a number as text; empty otherwise.

boost::json::value text(std::string_view value);
boost::json::value text_or(std::string_view value, std::string_view otherwise);

// Non-empty ones, with `between` in between.
std::string joined(const std::vector<std::string>& parts, std::string_view between = ",");
template <class Of>
std::vector<std::string> each(const boost::json::array& items, Of of) {
  std::vector<std::string> all;
  for (const auto& item : items) all.push_back(of(item));
  return all;
}
// The strings in a list.
std::vector<std::string> strings_at(const Tree& object, Path path);
// The first few, and how many more there are.
std::string first_few(std::vector<std::string> parts, std::size_t most, std::string_view otherwise);

// "a=b,c=d" of a map of strings, by name; empty if it is none.
std::string map_text(const Tree* map);
// A LabelSelector as kubectl takes it; empty if it selects nothing or everything.
std::string selector_text(const Tree* selector);

// "5s", "<unknown>" of no timestamp.
boost::json::value age_since(std::string_view timestamp, WallTime now);

// Cells.
boost::json::value name_cell(const Tree& object, WallTime now);
boost::json::value age_cell(const Tree& object, WallTime now);
boost::json::value created_cell(const Tree& object, WallTime now);

// A literal that can be a template's argument, so that a path can be spelled where a cell is named.
template <std::size_t N>
struct Word {
  char text[N];
  constexpr Word(const char (&literal)[N]) { std::copy_n(literal, N, text); }  // NOLINT: as if it were the literal.
  constexpr std::string_view view() const { return {text, N - 1}; }
};

template <Word... kPath>
boost::json::value text_cell(const Tree& object, WallTime) {
  return text(json_string_at(object, {kPath.view()...}));
}
template <Word kOtherwise, Word... kPath>
boost::json::value text_cell_or(const Tree& object, WallTime) {
  return text_or(json_string_at(object, {kPath.view()...}), kOtherwise.view());
}
template <Word... kPath>
boost::json::value count_cell(const Tree& object, WallTime) {
  return static_cast<std::int64_t>(count_at(object, {kPath.view()...}));
}
template <Word... kPath>
boost::json::value number_cell(const Tree& object, WallTime) {
  return json_integer_at(object, {kPath.view()...});
}
template <Word... kPath>
boost::json::value bool_cell(const Tree& object, WallTime) {
  return is_true_at(object, {kPath.view()...});
}
template <Word... kPath>
boost::json::value map_cell(const Tree& object, WallTime) {
  return text_or(map_text(json_at(object, {kPath.view()...})), "<none>");
}
template <Word... kPath>
boost::json::value selector_cell(const Tree& object, WallTime) {
  return text_or(selector_text(json_at(object, {kPath.view()...})), "<none>");
}
// Of each container at the path, a member.
template <Word kMember, Word... kPath>
boost::json::value containers_cell(const Tree& object, WallTime) {
  return text(joined(each(list_at(object, {kPath.view()...}),
                          [](const Tree& container) { return string_at(container, {kMember.view()}); })));
}

constexpr Column kName{"Name", "string", 0, name_cell, "name"};
constexpr Column kAge{"Age", "string", 0, age_cell};
constexpr Column kCreatedAt{"Created At", "date", 0, created_cell};

// The columns of anything that carries a pod template.
constexpr Column kContainers{"Containers", "string", 1,
                             containers_cell<"name", "spec", "template", "spec", "containers">};
constexpr Column kImages{"Images", "string", 1, containers_cell<"image", "spec", "template", "spec", "containers">};
constexpr Column kSelector{"Selector", "string", 1, selector_cell<"spec", "selector">};

}  // namespace tinf::api
