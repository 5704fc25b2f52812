// Pickles read opcode by opcode: plain data, and no more than that.
#include "formats/pickle_reader.h"

#include <initializer_list>
#include <string>
#include <vector>

#include "format_support.h"

namespace millrace::tool {
namespace {

using ::testing::HasSubstr;

/// A pickle of protocol 4: characters are opcodes, numbers are bytes.
std::string pickle_of(std::initializer_list<int> opcodes) {
  std::string text("\x80\x04");
  for (const int byte : opcodes) text.push_back(static_cast<char>(byte));
  return text;
}

/// A value as Python would print it, to a depth of 4.
std::string text_of(const ValueTree& tree, ValueTree::Index value, int depth = 0) {
  if (depth == 4) return "...";
  std::string text;
  switch (tree.kind(value)) {
    case ValueKind::null: return "None";
    case ValueKind::boolean: return "bool";
    case ValueKind::number: return "number";
    case ValueKind::natural: return std::to_string(tree.natural(value));
    case ValueKind::string:
    case ValueKind::bytes: return "'" + std::string(tree.string(value)) + "'";
    case ValueKind::list: text = "]["; break;
    case ValueKind::tuple: text = ")("; break;
    case ValueKind::dict: text = "}{"; break;
  }
  const char end = text.front();
  text.erase(0, 1);
  tree.for_each(value, [&](ValueTree::Index item) {
    text += (text.size() > 1 ? " " : "") + text_of(tree, item, depth + 1);
  });
  return text + end;
}

std::string read(std::initializer_list<int> opcodes) {
  const std::vector<std::byte> bytes = bytes_of(pickle_of(opcodes));
  const PickledValue value = read_pickle(bytes, "x.pickle");
  return text_of(value.tree, value.root);
}

Refusal refused_text(const std::string& content) {
  const std::vector<std::byte> bytes = bytes_of(content);
  return refusal_of([&] { read_pickle(bytes, "x.pickle"); });
}

Refusal refused(std::initializer_list<int> opcodes) {
  return refused_text(pickle_of(opcodes));
}

TEST(PickleReader, ReadsScalars) {
  EXPECT_EQ(read({'K', 255, '.'}), "255");
  EXPECT_EQ(read({'M', 1, 2, '.'}), "513");
  EXPECT_EQ(read({'J', 255, 255, 255, 127, '.'}), "2147483647");
  EXPECT_EQ(read({'J', 255, 255, 255, 255, '.'}), "number");
  EXPECT_EQ(read({0x8a, 0, '.'}), "0");
  EXPECT_EQ(read({0x8a, 6, 0, 0, 0, 0, 0, 127, '.'}), "139637976727552");
  EXPECT_EQ(read({0x8a, 9, 255, 255, 255, 255, 255, 255, 255, 255, 0, '.'}), "18446744073709551615");
  EXPECT_EQ(read({0x8a, 9, 255, 255, 255, 255, 255, 255, 255, 255, 1, '.'}), "number");
  EXPECT_EQ(read({0x8a, 1, 128, '.'}), "number");
  EXPECT_EQ(read({0x8b, 1, 0, 0, 0, 5, '.'}), "5");
  EXPECT_EQ(read({'G', 0, 0, 0, 0, 0, 0, 0, 0, '.'}), "number");
  EXPECT_EQ(read({'N', '.'}), "None");
  EXPECT_EQ(read({0x88, '.'}), "bool");
  EXPECT_EQ(read({0x89, '.'}), "bool");
}

TEST(PickleReader, ReadsStringsAndBytes) {
  EXPECT_EQ(read({0x8c, 3, 'a', 'b', 'c', '.'}), "'abc'");
  EXPECT_EQ(read({'X', 3, 0, 0, 0, 'a', 'b', 'c', '.'}), "'abc'");
  EXPECT_EQ(read({0x8d, 1, 0, 0, 0, 0, 0, 0, 0, 'a', '.'}), "'a'");
  EXPECT_EQ(read({'U', 1, 'z', '.'}), "'z'");
  EXPECT_EQ(read({'T', 1, 0, 0, 0, 'z', '.'}), "'z'");
  EXPECT_EQ(read({'C', 1, 'z', '.'}), "'z'");
  EXPECT_EQ(read({'B', 1, 0, 0, 0, 'z', '.'}), "'z'");
  EXPECT_EQ(read({0x8e, 1, 0, 0, 0, 0, 0, 0, 0, 'z', '.'}), "'z'");
  EXPECT_EQ(read({0x96, 1, 0, 0, 0, 0, 0, 0, 0, 'z', '.'}), "'z'");
}

TEST(PickleReader, ReadsContainers) {
  EXPECT_EQ(read({']', '.'}), "[]");
  EXPECT_EQ(read({'(', 'K', 1, 'K', 2, 'l', '.'}), "[1 2]");
  EXPECT_EQ(read({']', '(', 'K', 1, 'K', 2, 'e', '(', 'K', 3, 'e', 'K', 4, 'a', '.'}), "[1 2 3 4]");
  EXPECT_EQ(read({')', '.'}), "()");
  EXPECT_EQ(read({'(', 'K', 1, ')', 't', '.'}), "(1 ())");
  EXPECT_EQ(read({'K', 1, 0x85, 'K', 2, 0x86, 'K', 3, 'K', 4, 0x87, '.'}), "(((1) 2) 3 4)");
  EXPECT_EQ(read({'}', 'U', 1, 'a', 'K', 1, 's', '(', 'U', 1, 'b', 'N', 'u', '.'}), "{'a' 1 'b' None}");
  EXPECT_EQ(read({'(', 'U', 1, 'a', 'K', 1, 'd', '.'}), "{'a' 1}");
}

TEST(PickleReader, KeepsTheOrderOfListsThatGrowInTurn) {
  EXPECT_EQ(read({']', 0x94, ']', 0x94, 'K', 1,   'a', '0', 'h', 0,   'K', 2,   'a', '0',  'h',
                  1,   'K',  3,   'a',  '0', 'h', 0,   'K', 4,   'a', '0', 'h', 1,   0x86, '.'}),
            "([2 4] [1 3])");
}

TEST(PickleReader, FollowsTheMemo) {
  EXPECT_EQ(read({'U', 1, 'a', 'q', 0, 'h', 0, 0x86, '.'}), "('a' 'a')");
  EXPECT_EQ(read({'U', 1, 'a', 'r', 1, 0, 0, 0, 'j', 1, 0, 0, 0, 0x86, '.'}), "('a' 'a')");
  EXPECT_EQ(read({'K', 7, '2', 0x86, '.'}), "(7 7)");
  EXPECT_EQ(read({'K', 7, '(', 'K', 8, '1', '(', '0', '.'}), "7");
  EXPECT_EQ(read({']', 0x94, 'h', 0, 'a', '.'}), "[[[[...]]]]") << "a list may hold itself";
  EXPECT_EQ(read({0x95, 2, 0, 0, 0, 0, 0, 0, 0, 'N', '.'}), "None");
}

TEST(PickleReader, FindsTheLastValueOfAKey) {
  const std::vector<std::byte> bytes =
      bytes_of(pickle_of({'}', '(', 'K', 1, 'K', 2, 'U', 1, 'a', 'K', 3, 'U', 1, 'a', 'K', 4, 'u', '.'}));
  const PickledValue value = read_pickle(bytes, "x.pickle");
  EXPECT_EQ(value.tree.natural(value.tree.find(value.root, "a")), 4U);
  EXPECT_EQ(value.tree.find(value.root, "b"), ValueTree::kNone);
}

TEST(PickleReader, RefusesWhatReachesBeyondTheFile) {
  const std::vector<std::pair<int, const char*>> opcodes{{'c', "GLOBAL, which names"},
                                                         {0x93, "STACK_GLOBAL, which names"},
                                                         {'R', "REDUCE, which calls"},
                                                         {'b', "BUILD, which calls"},
                                                         {'i', "INST, which calls"},
                                                         {'o', "OBJ, which calls"},
                                                         {0x81, "NEWOBJ, which calls"},
                                                         {0x92, "NEWOBJ_EX, which calls"},
                                                         {0x82, "EXT1, which names"},
                                                         {0x83, "EXT2, which names"},
                                                         {0x84, "EXT4, which names"},
                                                         {'P', "PERSID, which asks"},
                                                         {'Q', "BINPERSID, which asks"},
                                                         {0x97, "NEXT_BUFFER, which asks"},
                                                         {0x98, "READONLY_BUFFER, which asks"},
                                                         {0x8f, "EMPTY_SET, a set"},
                                                         {'I', "INT, of protocol 0"},
                                                         {'p', "PUT, of protocol 0"}};
  for (const auto& [opcode, name] : opcodes) {
    // Refused before it does anything, whatever lies on the stack.
    const Refusal refusal = refused({'N', 'N', opcode, 'o', 's', '\n', 'x', '\n', '.'});
    EXPECT_THAT(refusal.message,
                HasSubstr(std::string("plain data, which runs nothing, found the opcode ") + name));
    EXPECT_EQ(refusal.offset, 4U) << name;
  }
  EXPECT_THAT(refused({0xff, '.'}).message, HasSubstr("found 0xff, no opcode that is known"));
}

TEST(PickleReader, TakesNoNumberOfTheFileForASize) {
  EXPECT_THAT(refused({'X', 255, 255, 255, 255, 'a', '.'}).message,
              HasSubstr("expected a string, 4294967295 bytes, found 2 bytes to the end of the file"));
  EXPECT_THAT(refused({0x8d, 255, 255, 255, 255, 255, 255, 255, 255, '.'}).message,
              HasSubstr("a string, 18446744073709551615 bytes"));
  EXPECT_THAT(refused({0x8e, 0, 0, 0, 0, 0, 0, 0, 1, '.'}).message, HasSubstr("expected bytes, "));
  EXPECT_THAT(refused({0x8b, 255, 255, 255, 127, '.'}).message, HasSubstr("a number, 2147483647 bytes"));
  EXPECT_THAT(refused({0x95, 255, 255, 255, 255, 255, 255, 255, 255, 'N', '.'}).message,
              HasSubstr("a frame that ends in the file"));
  EXPECT_THAT(refused({'N', 'r', 255, 255, 255, 255, '.'}).message,
              HasSubstr("memo entries numbered from 0 up, found entry 4294967295 at byte 3"));
}

TEST(PickleReader, RefusesAStackThatDoesNotAddUp) {
  EXPECT_THAT(refused({'.'}).message, HasSubstr("one value at the end, found 0"));
  EXPECT_THAT(refused({'N', 'N', '.'}).message, HasSubstr("one value at the end, found 2"));
  EXPECT_THAT(refused({'N', '(', '.'}).message, HasSubstr("found 1, and 1 open marks"));
  EXPECT_THAT(refused({'0', '.'}).message, HasSubstr("expected a value on the stack, found none"));
  EXPECT_THAT(refused({'N', '(', '2', '.'}).message, HasSubstr("a value on the stack"))
      << "not below the mark";
  EXPECT_THAT(refused({']', 'e', '.'}).message, HasSubstr("expected a mark on the stack, found none"));
  EXPECT_THAT(refused({'N', 'N', 'a', '.'}).message, HasSubstr("expected a list to add to, found None"));
  EXPECT_THAT(refused({']', 'N', 'N', 's', '.'}).message,
              HasSubstr("expected a dict to add to, found a list"));
  EXPECT_THAT(refused({'}', '(', 'N', 'u', '.'}).message,
              HasSubstr("a value for each key, found one key more"));
  EXPECT_THAT(refused({'(', 'N', 'd', '.'}).message, HasSubstr("a value for each key"));
  EXPECT_THAT(refused({'h', 0, '.'}).message, HasSubstr("a memo entry that was made before, found entry 0"));
  EXPECT_THAT(refused({'N', 'q', 1, 'h', 0, '.'}).message, HasSubstr("a memo entry that was made before"));
}

TEST(PickleReader, BoundsTheMarks) {
  std::string marks = pickle_of({}) + std::string(kMaxPickleMarks, '(');
  EXPECT_THAT(refused_text(marks + "(").message, HasSubstr("at most 256 open marks, found more"));
  // As deep as they come without marks: nothing recurses.
  std::string nested = pickle_of({')'}) + std::string(1'000'000, '\x85') + ".";
  EXPECT_EQ(refused_text(nested).message, "(accepted)");
}

TEST(PickleReader, RefusesOtherProtocols) {
  EXPECT_THAT(refused_text("(dp0\n.").message, HasSubstr("a pickle of protocol 2 to 5"));
  EXPECT_THAT(refused_text("\x80\x06N.").message, HasSubstr("a pickle of protocol 2 to 5"));
  EXPECT_THAT(refused({0x80, 6, 'N', '.'}).message, HasSubstr("expected protocol 2 to 5, found 6"));
}

TEST(PickleReader, CutOffAnywhereIsRefused) {
  const std::string whole =
      pickle_of({0x95, 30,  0,   0, 0,   0, 0, 0,   0,   '}', 0x94, '(', 0x8c, 1,   'a', ']',
                 0x94, '(', 'K', 1, 'M', 1, 1, 'e', 'h', 1,   'X',  1,   0,    0,   0,   'b',
                 0x8a, 2,   1,   1, 'G', 0, 0, 0,   0,   0,   0,    0,   0,    'u', '.'});
  EXPECT_EQ(refused_text(whole).message, "(accepted)");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_NE(refused_text(whole.substr(0, size)).message, "(accepted)") << size;
  }
}

}  // namespace
}  // namespace millrace::tool
