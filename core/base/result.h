// Result<T>: a value or the reason there is none. Used on the data path instead of exceptions
// (std::expected is C++23). Not thread-safe; moves with its value.
#pragma once

#include <string>
#include <utility>
#include <variant>

namespace base {

// A sentence for a person: what happened, where, and what to do about it.
struct Error {
  std::string message;
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool ok() const { return std::holds_alternative<T>(state_); }
  explicit operator bool() const { return ok(); }

  // Only where ok(); std::bad_variant_access otherwise (a programming error).
  T& operator*() { return std::get<T>(state_); }
  const T& operator*() const { return std::get<T>(state_); }
  T* operator->() { return &std::get<T>(state_); }
  const T* operator->() const { return &std::get<T>(state_); }
  [[nodiscard]] T take() { return std::move(std::get<T>(state_)); }

  // Only where !ok().
  [[nodiscard]] const Error& error() const { return std::get<Error>(state_); }
  [[nodiscard]] const std::string& message() const { return error().message; }

 private:
  std::variant<T, Error> state_;
};

struct Ok {};
// Success or a reason, where there is no value to return: `return Ok{};`
using Status = Result<Ok>;

inline Error error(std::string message) { return Error{std::move(message)}; }

}  // namespace base
