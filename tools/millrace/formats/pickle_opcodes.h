// The opcodes of pickle protocols 2 to 5, by Python's names (Lib/pickle.py).
#pragma once

#include <cstdint>

namespace millrace::tool::pickle {

enum Opcode : std::uint8_t {
  kMark = '(',
  kStop = '.',
  kPop = '0',
  kPopMark = '1',
  kDup = '2',
  kNone = 'N',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kBinFloat = 'G',
  kBinString = 'T',
  kShortBinString = 'U',
  kBinUnicode = 'X',
  kBinBytes = 'B',
  kShortBinBytes = 'C',
  kAppend = 'a',
  kAppends = 'e',
  kDict = 'd',
  kEmptyDict = '}',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kList = 'l',
  kEmptyList = ']',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kSetItems = 'u',
  kTuple = 't',
  kEmptyTuple = ')',
  kProto = 0x80,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
  kLong4 = 0x8b,
  kShortBinUnicode = 0x8c,
  kBinUnicode8 = 0x8d,
  kBinBytes8 = 0x8e,
  kMemoize = 0x94,
  kFrame = 0x95,
  kByteArray8 = 0x96,
};

/// The name of an opcode that is refused, and why: "GLOBAL, which names something of a program". Null for one
/// that no protocol has.
inline const char* refused(std::uint8_t opcode) {
  switch (opcode) {
    case 'c': return "GLOBAL, which names something of a program";
    case 0x93: return "STACK_GLOBAL, which names something of a program";
    case 'R': return "REDUCE, which calls something";
    case 'b': return "BUILD, which calls something";
    case 'i': return "INST, which calls something";
    case 'o': return "OBJ, which calls something";
    case 0x81: return "NEWOBJ, which calls something";
    case 0x92: return "NEWOBJ_EX, which calls something";
    case 0x82: return "EXT1, which names something of a program";
    case 0x83: return "EXT2, which names something of a program";
    case 0x84: return "EXT4, which names something of a program";
    case 'P': return "PERSID, which asks for something outside of the file";
    case 'Q': return "BINPERSID, which asks for something outside of the file";
    case 0x97: return "NEXT_BUFFER, which asks for something outside of the file";
    case 0x98: return "READONLY_BUFFER, which asks for something outside of the file";
    case 0x8f: return "EMPTY_SET, a set";
    case 0x90: return "ADDITEMS, a set";
    case 0x91: return "FROZENSET, a set";
    case 'I': return "INT, of protocol 0";
    case 'L': return "LONG, of protocol 0";
    case 'F': return "FLOAT, of protocol 0";
    case 'S': return "STRING, of protocol 0";
    case 'V': return "UNICODE, of protocol 0";
    case 'g': return "GET, of protocol 0";
    case 'p': return "PUT, of protocol 0";
    default: return nullptr;
  }
}

}  // namespace millrace::tool::pickle
