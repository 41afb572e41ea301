// Values of a statement in PostgreSQL's binary forms, and arrays of them: what is written for a thousand rows is one
// value for each column.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tinf::postgres {

// Types by their numbers in pg_type, which never change.
enum class Type : unsigned { Bool = 16, Number = 20, Text = 25, TextArray = 1009, NumberArray = 1016 };

inline void append_big_endian(std::string& out, std::uint64_t number, int bytes) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) out.push_back(static_cast<char>(number >> shift));
}

// One dimension; elements are added one by one.
class Array {
 public:
  explicit Array(Type element) : element_(element), bytes_(kHead, '\0') {}

  void add(std::string_view text) {
    append_big_endian(bytes_, text.size(), 4);
    bytes_.append(text);
    ++size_;
  }
  void add(std::uint64_t number) {
    append_big_endian(bytes_, 8, 4);
    append_big_endian(bytes_, number, 8);
    ++size_;
  }
  void add(std::int64_t number) { add(static_cast<std::uint64_t>(number)); }
  void add_null() {
    append_big_endian(bytes_, 0xffffffffU, 4);
    has_null_ = 1;
    ++size_;
  }

  std::size_t size() const { return size_; }
  std::size_t bytes() const { return bytes_.size(); }
  Type type() const { return element_ == Type::Text ? Type::TextArray : Type::NumberArray; }
  // It is empty afterwards.
  std::string take() {
    std::string head;
    append_big_endian(head, size_ == 0 ? 0 : 1, 4);
    append_big_endian(head, has_null_, 4);
    append_big_endian(head, static_cast<unsigned>(element_), 4);
    append_big_endian(head, size_, 4);
    append_big_endian(head, 1, 4);
    std::string all = std::exchange(bytes_, std::string(kHead, '\0'));
    all.replace(0, kHead, head);
    if (size_ == 0) all.resize(kHeadOfNone);
    size_ = has_null_ = 0;
    return all;
  }

 private:
  static constexpr std::size_t kHead = 20;
  static constexpr std::size_t kHeadOfNone = 12;  // Without a dimension.

  const Type element_;
  unsigned size_ = 0;
  unsigned has_null_ = 0;
  std::string bytes_;
};

inline Array texts() {
  return Array(Type::Text);
}
inline Array numbers() {
  return Array(Type::Number);
}

// What stands for $1, $2 and so on.
class Values {
 public:
  Values& add(std::string_view text) { return add(Type::Text, std::string(text)); }
  Values& add(const char* text) { return add(std::string_view(text)); }
  Values& add(std::uint64_t number) {
    std::string bytes;
    append_big_endian(bytes, number, 8);
    return add(Type::Number, std::move(bytes));
  }
  Values& add(std::int64_t number) { return add(static_cast<std::uint64_t>(number)); }
  Values& add(bool flag) { return add(Type::Bool, std::string(1, flag ? '\1' : '\0')); }
  Values& add(Array&& array) { return add(array.type(), array.take()); }  // It is empty afterwards.
  Values& add(const Array& array) { return add(Array(array)); }

  std::size_t size() const { return values_.size(); }
  std::size_t bytes() const { return bytes_; }
  struct Value {
    Type type;
    std::string bytes;
  };
  const std::vector<Value>& all() const { return values_; }

 private:
  Values& add(Type type, std::string bytes) {
    bytes_ += bytes.size();
    values_.push_back(Value{type, std::move(bytes)});
    return *this;
  }

  std::vector<Value> values_;
  std::size_t bytes_ = 0;
};

}  // namespace tinf::postgres
