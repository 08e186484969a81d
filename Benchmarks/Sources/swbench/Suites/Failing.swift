/// A run with a peer that dies: its row fails with what it said, the others go on.
enum Failing {
  static var benchmarks: [Benchmark] {
    [
      Benchmark(
        name: "dying-peer", title: "A peer that dies in the middle", unit: "round trip", byteCount: 64,
        hasLatencies: true,
        contenders: [
          ConnectionContender(.floor, .roundTrip(.c), .socketPair, Shape(byteCount: 64)),
          ConnectionContender(.blocking, .roundTrip(.dying), .socketPair, Shape(byteCount: 64)),
          ConnectionContender(.reactor, .roundTrip(.dying), .socketPair, Shape(byteCount: 64)),
          ConnectionContender(.nio, .roundTrip(.dying), .socketPair, Shape(byteCount: 64)),
          ConnectionContender(.nioAsync, .roundTrip(.dying), .socketPair, Shape(byteCount: 64)),
          ConnectionContender(.flying, .roundTrip(.dying), .socketPair, Shape(byteCount: 64)),
          ConnectionContender(.pool, .roundTrip(.c), .socketPair, Shape(byteCount: 64)),
        ], isHidden: true)
    ]
  }
}
