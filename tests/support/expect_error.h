// Expectations about the library's errors.
#pragma once

#include <gtest/gtest.h>
#include <millrace/error.h>

#include <exception>
#include <optional>
#include <string>

namespace millrace::test {

/// What the call threw; nothing, and a failure of the test, if it threw nothing or something else.
template <typename Call>
std::optional<Error> error_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  } catch (const std::exception& error) {
    ADD_FAILURE() << "an exception that is not a millrace::Error: " << error.what();
    return std::nullopt;
  }
  ADD_FAILURE() << "nothing was thrown";
  return std::nullopt;
}

template <typename Call>
void expect_code(ErrorCode code, Call&& call) {
  const std::optional<Error> error = error_of(call);
  if (!error) return;
  EXPECT_EQ(to_string(error->code()), to_string(code)) << error->what();
  EXPECT_FALSE(error->message().empty());
}

/// The code, and a part of what the error says.
template <typename Call>
void expect_error(ErrorCode code, const std::string& part, Call&& call) {
  const std::optional<Error> error = error_of(call);
  if (!error) return;
  EXPECT_EQ(to_string(error->code()), to_string(code)) << error->what();
  EXPECT_NE(error->message().find(part), std::string::npos) << error->what();
}

/// InvalidState, and the rule that was broken.
template <typename Call>
void expect_rule(const std::string& rule, Call&& call) {
  const std::optional<Error> error = error_of(call);
  if (!error) return;
  EXPECT_EQ(to_string(error->code()), to_string(ErrorCode::InvalidState)) << error->what();
  EXPECT_EQ(error->rule(), rule) << error->what();
}

}  // namespace millrace::test
