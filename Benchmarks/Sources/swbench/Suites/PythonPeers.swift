/// This library with a Python peer at the other end, against Python at both ends.
enum PythonPeers {
  static var benchmarks: [Benchmark] {
    ["sync", "asyncio", "uvloop"].map { mode in
      let shape = Shape(byteCount: 64)
      let python = PythonContender.all(.roundTrip, .socketPair, shape, isFull: true)
      let title = mode == "sync" ? "Python socketwrapper" : "Python socketwrapper, \(mode)"
      return Benchmark(
        name: "python-peer/socketwrapper/\(mode)",
        title: "Round trip, 64 B, a peer in Python: socketwrapper, \(mode)", unit: "round trip",
        byteCount: 64,
        hasLatencies: true,
        contenders: python.filter { $0.title == title }
          + [Contestant.blocking, .reactor, .pool].map {
            ConnectionContender($0, .roundTrip(.python(mode: mode)), .socketPair, shape)
          },
        peers: [])
    }
  }
}
