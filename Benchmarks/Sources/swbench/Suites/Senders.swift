/// Many senders on one endpoint against the same senders behind a plain lock, on threads and as tasks.
enum Senders {
  static var benchmarks: [Benchmark] {
    [false, true].flatMap { usesTasks in
      [1, 8, 64].map { senders in
        let ways = SendersContender.Way.allCases.filter { $0.usesTasks == usesTasks }
        let kind = usesTasks ? "tasks" : "threads"
        return Benchmark(
          name: "senders/\(kind)/\(senders)",
          title:
            "\(senders) concurrent \(senders == 1 ? String(kind.dropLast()) : kind) sending 64 B on one end",
          byteCount: 64, contenders: ways.map { SendersContender($0, senders: senders) },
          peers: ["tasks, an asynchronous FIFO lock around write(2)"])
      }
    }
  }
}
