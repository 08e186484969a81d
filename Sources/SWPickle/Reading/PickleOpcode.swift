/// The opcodes of pickle, grouped by the protocol that introduced them.
///
/// Source: CPython 3.13, `Lib/pickletools.py` and `Modules/_pickle.c`.
enum PickleOpcode: UInt8 {
  // 0
  case mark = 0x28  // (
  case stop = 0x2e  // .
  case pop = 0x30  // 0
  case popMark = 0x31  // 1
  case duplicate = 0x32  // 2
  case float = 0x46  // F
  case int = 0x49  // I
  case long = 0x4c  // L
  case none = 0x4e  // N
  case persistentID = 0x50  // P
  case reduce = 0x52  // R
  case string = 0x53  // S
  case unicode = 0x56  // V
  case append = 0x61  // a
  case build = 0x62  // b
  case global = 0x63  // c
  case dict = 0x64  // d
  case get = 0x67  // g
  case instance = 0x69  // i
  case list = 0x6c  // l
  case put = 0x70  // p
  case setItem = 0x73  // s
  case tuple = 0x74  // t

  // 1
  case emptyTuple = 0x29  // )
  case binaryFloat = 0x47  // G
  case binaryInt = 0x4a  // J
  case binaryInt1 = 0x4b  // K
  case binaryInt2 = 0x4d  // M
  case binaryPersistentID = 0x51  // Q
  case binaryString = 0x54  // T
  case shortBinaryString = 0x55  // U
  case binaryUnicode = 0x58  // X
  case emptyList = 0x5d  // ]
  case appends = 0x65  // e
  case binaryGet = 0x68  // h
  case longBinaryGet = 0x6a  // j
  case object = 0x6f  // o
  case binaryPut = 0x71  // q
  case longBinaryPut = 0x72  // r
  case setItems = 0x75  // u
  case emptyDict = 0x7d  // }

  // 2
  case `protocol` = 0x80
  case newObject = 0x81
  case extension1 = 0x82
  case extension2 = 0x83
  case extension4 = 0x84
  case tuple1 = 0x85
  case tuple2 = 0x86
  case tuple3 = 0x87
  case newTrue = 0x88
  case newFalse = 0x89
  case long1 = 0x8a
  case long4 = 0x8b

  // 3
  case binaryBytes = 0x42  // B
  case shortBinaryBytes = 0x43  // C

  // 4
  case shortBinaryUnicode = 0x8c
  case binaryUnicode8 = 0x8d
  case binaryBytes8 = 0x8e
  case emptySet = 0x8f
  case addItems = 0x90
  case frozenSet = 0x91
  case newObjectWithKeywords = 0x92
  case stackGlobal = 0x93
  case memoize = 0x94
  case frame = 0x95

  // 5
  case byteArray8 = 0x96
  case nextBuffer = 0x97
  case readOnlyBuffer = 0x98
}
