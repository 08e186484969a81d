internal import SWMessaging
internal import SWMsgPack
internal import SWPickle

/// The cost of each framing alone: finding the end of a frame, decoding, encoding. No I/O.
enum Framings {
  static var benchmarks: [Benchmark] {
    // One line for each framing.
    [
      benchmark("varint", .varInt) { $0 },
      benchmark("multiprocessing-bytes", .multiprocessingBytes) { $0 },
      benchmark("delimited", .delimited()) { $0 },
      benchmark("lines", .lines) { $0 },
      benchmark("length-prefixed", .lengthPrefixed(.uint32)) { $0 },
      benchmark("content-length", .contentLength) { $0 },
      benchmark("protobuf", .protobufDelimited) { $0 },
      benchmark("multiprocessing-values", .multiprocessing) { PickleValue.bytes($0) },
      benchmark("msgpack", .msgPackValues) { .binary($0) },
    ]
  }

  private static func benchmark<F: Framing>(
    _ name: String, _ framing: F, message: ([UInt8]) -> F.Outgoing
  ) -> Benchmark {
    let contenders: [any Contender] = [64, 4096, 65_536].flatMap { size in
      let message = message([UInt8](repeating: UInt8(ascii: "x"), count: size))
      return FramingContender<F>.Part.allCases.map { part in
        FramingContender(framing: framing, message: Sent(value: message), part: part, size: size)
      }
    }
    return Benchmark(
      name: "framing/\(name)", title: "The framing \(name) alone", unit: "frame", contenders: contenders,
      comparisons: [])
  }
}
