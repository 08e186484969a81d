internal import SWFraming
internal import SWIO
internal import SWMessaging
internal import Synchronization
internal import SystemPackage

/// The checks of ``checkTransport(seed:patience:makePair:)``. One thread makes the attempts, and waits for readiness as
/// endpoints do.
struct TransportCheck {
  let seed: UInt64
  let patience: Duration
  let makePair: () throws -> (sender: any SocketLike, receiver: any SocketLike)

  private func withEnds<Result>(_ body: (End, End) throws -> Result) throws -> Result {
    let (sender, receiver) = try makePair()
    let ends = (End(sender, patience), End(receiver, patience))
    defer {
      ends.0.close()
      ends.1.close()
    }
    return try body(ends.0, ends.1)
  }

  func carriesDatagrams() throws -> Bool {
    try withEnds { sender, receiver in
      try expect(.countsRightly, sender.transport.content == receiver.transport.content) {
        "one end carries \(sender.transport.content), the other \(receiver.transport.content)"
      }
      return sender.transport.content == .datagrams
    }
  }

  func checkInheritance() throws {
    try withEnds { sender, receiver in
      for end in [sender, receiver] {
        let before = try end.transport.isInheritable()
        try expect(.isInheritedOnlyIfTold, !before) { "it is inheritable from the beginning" }
        for wanted in [true, false] {
          do throws(TransportError) {
            try end.transport.setInheritable(wanted)
          } catch {
            if error.errno == .notSupported { break }
            throw error
          }
          let found = try end.transport.isInheritable()
          try expect(.isInheritedOnlyIfTold, found == wanted) { "set to \(wanted), it reads \(found)" }
        }
      }
    }
  }

  // MARK: Streams

  func checkStream(rooms: ClosedRange<Int>, chunks: ClosedRange<Int>, byteCount: Int) throws {
    var random = SeededGenerator(seed: seed)
    let sent = Self.pattern(byteCount, seed: Int(truncatingIfNeeded: seed))
    try withEnds { sender, receiver in
      var (sentCount, received) = (0, [UInt8]())
      received.reserveCapacity(byteCount)
      while received.count < byteCount {
        var moved = 0
        if sentCount < byteCount {
          let chunk = sent[sentCount..<min(byteCount, sentCount + Int.random(in: chunks, using: &random))]
          moved = try sender.send(Array(chunk))
          sentCount += moved
        }
        let bytes = try receiver.receive(Int.random(in: rooms, using: &random))
        try expect(.deliversInOrder, bytes != nil) {
          "the stream ends after \(received.count) bytes of \(sentCount)"
        }
        received += bytes ?? []
        if moved == 0, bytes?.isEmpty ?? true {
          try receiver.wait(
            "bytes are under way (\(received.count) of \(sentCount))",
            or: sentCount < byteCount ? sender : nil)
        }
      }
      try expectEqual(received, sent)
      let more = try receiver.receive(1)
      try expect(.blocksInsteadOfWaiting, more == []) { "with nothing there, a receive brings \(more ?? [])" }
    }
  }

  func checkParts() throws {
    let shapes = [
      [1, 2, 3], [5, 0, 5], [600, 3], [3, 40_000, 7], [20_000, 20_000], Array(repeating: 3, count: 60),
    ]
    for (index, sizes) in shapes.enumerated() {
      try withEnds { sender, receiver in
        let parts = sizes.enumerated().map { Self.pattern($1, seed: index * 64 + $0) }
        let whole = parts.flatMap { $0 }
        var (sentCount, received) = (0, [UInt8]())
        while received.count < whole.count {
          var moved = 0
          if sentCount < whole.count {
            // As an endpoint does after a short send: the same parts, without the bytes that were sent.
            var (rest, skipped) = ([[UInt8]](), sentCount)
            for part in parts {
              let dropped = min(skipped, part.count)
              skipped -= dropped
              if dropped < part.count { rest.append(Array(part[dropped...])) }
            }
            moved = try sender.send(gathering: rest)
            sentCount += moved
          }
          let bytes = try receiver.receive(10_000)
          received += bytes ?? []
          if moved == 0, bytes?.isEmpty ?? true {
            try receiver.wait("parts are under way", or: sentCount < whole.count ? sender : nil)
          }
        }
        try expect(.gathersParts, received == whole) {
          "parts of \(sizes) bytes arrive otherwise than they were sent"
        }
      }
    }
  }

  /// Sends until nothing more is accepted, and repeats that after the bytes have been received.
  func checkFullness() throws {
    try withEnds { sender, receiver in
      let chunk = Self.pattern(65_536, seed: 3)
      var (count, isFull) = (0, false)
      while !isFull, count < 256 << 20 {
        let sent = try sender.send(chunk)
        isFull = sent == 0
        count += sent
      }
      try expect(.blocksInsteadOfWaiting, isFull) { "\(count) bytes are accepted that nobody receives" }
      var received = 0
      while received < count {
        let bytes = try receiver.receive(65_536)
        received += bytes?.count ?? 0
        if bytes?.isEmpty ?? true { try receiver.wait("\(count - received) bytes are under way") }
      }
      // Now there is room, and the sender must be told.
      while try sender.send(chunk) == 0 { try sender.wait("everything has been received") }
    }
  }

  func checkEnd(finishes: Bool) throws {
    try withEnds { sender, receiver in
      let sent = Self.pattern(1_000, seed: 4)
      var (count, received) = (0, [UInt8]())
      while count < sent.count {
        let moved = try sender.send(Array(sent[count...]))
        count += moved
        if moved > 0 { continue }
        let bytes = try receiver.receive(300)
        received += bytes ?? []
        if bytes?.isEmpty ?? true {
          try receiver.wait("an end is to come behind \(sent.count) bytes", or: sender)
        }
      }
      if !finishes {
        sender.close()
      } else if try !sender.finishSending() {
        return
      }
      while let bytes = try receiver.receive(300) {
        received += bytes
        if bytes.isEmpty { try receiver.wait("the stream has ended (\(received.count) bytes came)") }
      }
      try expect(.endsBehindData, received == sent) {
        "\(sent.count) bytes were sent before the end, \(received.count) came"
      }
      for _ in 0..<3 {
        let more = try receiver.receive(10)
        try expect(.endsBehindData, more == nil) { "behind the end comes \(more ?? [])" }
      }
    }
  }

  /// Checks that a peer is heard in full although it closes with something unread, for which a system may report an error.
  func checkUnheardEnd() throws {
    try withEnds { sender, receiver in
      let isDatagram = sender.transport.content == .datagrams
      // The other direction may not exist.
      guard (try? receiver.sendAny([7])) ?? false else { return }
      let sent = isDatagram ? [[1], [2, 2], [3]] : [Self.pattern(1_000, seed: 5)]
      var (count, received) = (0, 0)
      for part in sent {
        if isDatagram {
          while try sender.sendDatagram(part) == false { try sender.wait("nothing is under way") }
          count += 1
        } else {
          while count == 0 {
            count = try sender.send(part)
            if count == 0 { try sender.wait("nothing is under way") }
          }
        }
      }
      // A network may lose bytes when a connection fails. The whole block has come when its first byte has.
      while received == 0 {
        if isDatagram {
          if try receiver.receiveDatagram() != nil { received = 1 }
        } else {
          let bytes = try receiver.receive(1)
          try expect(.deliversInOrder, bytes != nil) { "the stream ends in front of \(count) bytes" }
          received = bytes?.count ?? 0
        }
        if received == 0 { try receiver.wait("a block is under way") }
      }
      sender.close()
      var last: TransportError?
      var errorCount = 0
      while received < count, last == nil, !receiver.hasEnded {
        do {
          let before = received
          if isDatagram {
            if try receiver.receiveDatagram() != nil { received += 1 }
          } else {
            received += try receiver.receive(300)?.count ?? 0
          }
          if received == before, !receiver.hasEnded {
            try receiver.wait("the peer has closed (\(received) of \(count) came)")
          }
        } catch let error as TransportError {
          errorCount += 1
          // An error about a datagram ends nothing.
          if !isDatagram || [.connection, .direction].contains(error.scope) || errorCount > 100 {
            last = error
          }
        }
      }
      try expect(.endsBehindData, received == count) {
        let end = last.map { "'\($0)'" } ?? "the end"
        return
          "a peer closed with something unread: \(count) were sent before, and \(received) came before \(end)"
      }
    }
  }

  // MARK: Datagrams

  func checkDatagrams() throws {
    var random = SeededGenerator(seed: seed)
    try withEnds { sender, receiver in
      for index in 0..<200 {
        let size = index % 5 == 0 ? 0 : Int.random(in: 1...(index % 7 == 0 ? 60_000 : 500), using: &random)
        let sent = Self.pattern(size, seed: index)
        while try sender.sendDatagram(sent) == false { try sender.wait("nothing is under way") }
        var received: [UInt8]?
        while received == nil {
          received = try receiver.receiveDatagram()
          if received == nil { try receiver.wait("a datagram of \(size) bytes is under way") }
        }
        try expect(.deliversInOrder, received == sent) {
          "of a datagram of \(size) bytes come \(received?.count ?? 0), or others"
        }
      }
      // Two datagrams do not become one.
      for text in [[1], [2, 2]] as [[UInt8]] {
        while try sender.sendDatagram(text) == false { try sender.wait("nothing is under way") }
      }
      for text in [[1], [2, 2]] as [[UInt8]] {
        var received = try receiver.receiveDatagram()
        while received == nil {
          try receiver.wait("a datagram is under way")
          received = try receiver.receiveDatagram()
        }
        try expect(.deliversInOrder, received == text) { "\(text) arrives as \(received ?? [])" }
      }
    }
  }

  // MARK: Both

  /// Checks that a waiting receiver is told about arriving bytes.
  func checkReadiness() throws {
    try withEnds { sender, receiver in
      for byte: UInt8 in 0..<50 {
        let isEmpty = try receiver.receiveAny() == nil
        try expect(.blocksInsteadOfWaiting, isEmpty) { "a receive brings what was not sent" }
        while try sender.sendAny([byte]) == false { try sender.wait("nothing is under way") }
        var received: [UInt8]?
        while received == nil {
          try receiver.wait("a byte was sent to one who was told to wait")
          received = try receiver.receiveAny()
        }
        try expect(.deliversInOrder, received == [byte]) { "\(byte) arrives as \(received ?? [])" }
      }
    }
  }

  func checkMissingPeer() throws {
    try withEnds { sender, receiver in
      let isDatagram = sender.transport.content == .datagrams
      receiver.close()
      for _ in 0..<100_000 {
        do {
          if try !sender.sendAny([7]) { try sender.wait("the peer is gone") }
        } catch is TransportError {
          return
        }
      }
      // Datagrams may be sent without a receiver.
      try expect(.failsWithoutPeer, isDatagram) { "a closed peer accepts what is sent to it" }
    }
  }

  func checkMessages() throws {
    let (sender, receiver) = try makePair()
    let isDatagram = sender.content == .datagrams
    let writer = MessageWriter(core: EndpointCore(sender, for: .writable), framing: .varInt)
    let reader = MessageReader(
      core: EndpointCore(receiver, for: .readable), framing: .varInt, maximumFrameSize: 1 << 20)
    defer {
      writer.close()
      reader.close()
    }
    let sizes = (0..<300).map { index in index % 50 == 49 && !isDatagram ? 150_000 : index * 37 % 3_000 }
    let seed = Int(truncatingIfNeeded: seed)
    let thread = TestThread { [patience] in
      for (index, size) in sizes.enumerated() {
        try writer.blocking.send(Self.pattern(size, seed: seed &+ index), timeout: patience)
      }
    }
    do {
      for (index, size) in sizes.enumerated() {
        let message = try reader.blocking.receive(timeout: patience)
        try expect(.carriesMessages, message == Self.pattern(size, seed: seed &+ index)) {
          "message \(index) of \(size) bytes arrives otherwise"
        }
      }
    } catch let error as EndpointError {
      throw TransportViolation(law: .carriesMessages, explanation: "an endpoint over it fails: \(error)")
    }
    try thread.join()
  }

  // MARK: Helpers

  private func expectEqual(_ received: [UInt8], _ sent: [UInt8]) throws {
    if received == sent { return }
    let index = zip(received, sent).enumerated().first { $1.0 != $1.1 }?.offset
    try expect(.deliversInOrder, index == nil) { "byte \(index ?? 0) of \(sent.count) arrives otherwise" }
  }

  static func pattern(_ count: Int, seed: Int) -> [UInt8] {
    makeBytes(count) { UInt8(truncatingIfNeeded: ($0 &+ seed &* 7) &* 31 &+ ($0 >> 8)) }
  }
}

private func expect(
  _ law: TransportViolation.Law, _ condition: Bool, _ explanation: () -> String
) throws(TransportViolation) {
  if !condition { throw TransportViolation(law: law, explanation: explanation()) }
}

/// One end, with the means to wait for it.
private final class End: ReadinessReceiver {
  let transport: any SocketLike
  private let patience: Duration
  private let wakeUp = WakeUp.take()
  private let state = Guarded(State())

  private struct State: Sendable {
    /// The signal, until the end is closed.
    var signal: ReadinessSignal?
    var awaited: Readiness = []
    /// The readiness signalled since the last attempt.
    var signalled: Readiness = []
    /// When to repeat the last attempt, if no readiness will be signalled.
    var retryAt: Deadline?
    var hasEnded = false
  }

  /// Whether the last attempt has found the end.
  var hasEnded: Bool { state.withLock { $0.hasEnded } }

  init(_ transport: any SocketLike, _ patience: Duration) {
    self.transport = transport
    self.patience = patience
    // Asked first, as endpoints do.
    _ = transport.readinessSource
    let signal = ReadinessSignal(self)
    state.withLock { $0.signal = signal }
    transport.attach(signal)
  }

  func readinessChanged(_ readiness: Readiness, mayDrive: Bool) {
    state.withLock { $0.signalled.formUnion(readiness) }
    wakeUp.signal()
  }

  func close() {
    guard let signal = state.withLock({ $0.signal.take() }) else { return }
    transport.close()
    // The transport may keep the signal.
    signal.detach()
  }

  /// Returns false if only closing tells the peer.
  func finishSending() throws -> Bool {
    while true {
      do throws(TransportError) {
        try transport.finishSending()
        return true
      } catch {
        if error.errno == .notSupported { return false }
        guard error.errno == .wouldBlock else { throw error }
        state.withLock { $0.awaited = .writable }
        try wait("the half-close has to go out")
      }
    }
  }

  // MARK: Attempts. Nil or 0: it would block.

  func receive(_ room: Int) throws -> [UInt8]? {
    var isAtEnd = false
    let bytes = try unsafe [UInt8](unsafeUninitializedCapacity: room) { memory, count in
      let memory = UnsafeMutableRawBufferPointer(unsafe UnsafeMutableBufferPointer(rebasing: memory[..<room]))
      let moved = try attempt(.readable, limit: room, least: 1) { mayTakeLong in
        unsafe mayTakeLong ? transport.receiveTakingLong(into: memory) : transport.receive(into: memory)
      }
      isAtEnd = moved == nil
      count = moved ?? 0
    }
    return isAtEnd ? nil : bytes
  }

  func send(_ bytes: [UInt8]) throws -> Int {
    try unsafe bytes.withUnsafeBytes { bytes in
      let moved = try attempt(.writable, limit: bytes.count, least: 1) { mayTakeLong in
        if !mayTakeLong { return unsafe transport.send(bytes) }
        return unsafe withUnsafePointer(to: bytes) { part in
          unsafe transport.sendTakingLong(gathering: UnsafeBufferPointer(start: part, count: 1))
        }
      }
      return moved ?? 0
    }
  }

  func send(gathering parts: [[UInt8]]) throws -> Int {
    // One block, so the parts have fixed addresses.
    let whole = parts.flatMap { $0 }
    return try unsafe whole.withUnsafeBytes { whole in
      var (blocks, start) = (unsafe [UnsafeRawBufferPointer](), 0)
      for part in parts {
        unsafe blocks.append(UnsafeRawBufferPointer(rebasing: whole[start..<start + part.count]))
        start += part.count
      }
      return try unsafe blocks.withUnsafeBufferPointer { blocks in
        let moved = try attempt(.writable, limit: whole.count, least: 1) { mayTakeLong in
          unsafe mayTakeLong
            ? transport.sendTakingLong(gathering: blocks) : transport.send(gathering: blocks)
        }
        return moved ?? 0
      }
    }
  }

  func sendDatagram(_ bytes: [UInt8]) throws -> Bool {
    var isAccepted = false
    unsafe try bytes.withUnsafeBytes { bytes in
      _ = try attempt(.writable, limit: bytes.count, least: bytes.count) { _ in
        let attempt = unsafe transport.send(bytes)
        if case .transferred = attempt { isAccepted = true }
        return attempt
      }
    }
    return isAccepted
  }

  func receiveDatagram() throws -> [UInt8]? {
    var size: Int?
    _ = try attempt(.readable, limit: .max, least: 0) { _ in
      let attempt = transport.nextDatagramSize()
      if case .transferred(let found) = attempt { size = found }
      return attempt
    }
    guard let size else { return nil }
    var isThere = false
    let bytes = try unsafe [UInt8](unsafeUninitializedCapacity: max(size, 1)) { memory, count in
      let memory = UnsafeMutableRawBufferPointer(memory)
      count =
        try attempt(.readable, limit: size, least: 0) { _ in
          let attempt = unsafe transport.receive(into: memory)
          if case .transferred = attempt { isThere = true }
          return attempt
        } ?? 0
    }
    return isThere ? bytes : nil
  }

  func sendAny(_ bytes: [UInt8]) throws -> Bool {
    transport.content == .datagrams ? try sendDatagram(bytes) : try send(bytes) > 0
  }

  func receiveAny() throws -> [UInt8]? {
    if transport.content == .datagrams { return try receiveDatagram() }
    let bytes = try receive(100)
    return bytes?.isEmpty ?? true ? nil : bytes
  }

  /// The number of bytes that moved. 0 if the attempt would block, nil at the end.
  private func attempt(
    _ direction: Readiness, limit: Int, least: Int, by make: (_ mayTakeLong: Bool) -> Attempt
  ) throws -> Int? {
    var mayTakeLong = false
    while true {
      state.withLock { ($0.signalled, $0.retryAt, $0.hasEnded) = ([], nil, false) }
      switch make(mayTakeLong) {
      case .transferred(let count):
        try expect(.countsRightly, (least...max(limit, least)).contains(count)) {
          "an attempt on \(limit) bytes says that it moved \(count)"
        }
        return count
      case .wouldBlock:
        state.withLock { $0.awaited = direction }
        return 0
      case .waitsFor(let readiness):
        state.withLock { $0.awaited = readiness }
        return 0
      case .retryLater:
        state.withLock { ($0.awaited, $0.retryAt) = ([], .after(.milliseconds(1))) }
        return 0
      case .endOfStream:
        try expect(.countsRightly, direction == .readable) { "a send says that the stream has ended" }
        state.withLock { $0.hasEnded = true }
        return nil
      case .offload:
        try expect(.offloadsOnce, !mayTakeLong) { "what may take long is offloaded again" }
        mayTakeLong = true
      case .failed(let error) where error.errno == .interrupted: continue
      case .failed(let error): throw error
      }
    }
  }

  // MARK: Waiting

  /// Waits for the readiness that the last attempt asked for, of this end or of another one.
  func wait(_ why: String, or other: End? = nil) throws {
    let deadline = Deadline.after(patience)
    while !isTold, !(other?.isTold ?? false) {
      try expect(.tellsReadiness, !deadline.hasPassed) { "\(why), and readiness does not come" }
      // With two ends, each is checked in turn. With one end, the thread sleeps.
      let retryAt = state.withLock { $0.retryAt }
      let limit = other == nil ? min(deadline, retryAt ?? .never) : .after(.milliseconds(1))
      var descriptor: Int32?
      if case .descriptor(let source) = transport.readinessSource { descriptor = source.rawValue }
      wakeUp.wait(watching: descriptor, for: state.withLock { $0.awaited }, until: limit)
      if other == nil, descriptor != nil { return try expectInTime(deadline, why) }
    }
  }

  private func expectInTime(_ deadline: Deadline, _ why: String) throws {
    try expect(.tellsReadiness, !deadline.hasPassed) { "\(why), and readiness does not come" }
  }

  private var isTold: Bool {
    let (signalled, awaited, retryAt) = state.withLock { ($0.signalled, $0.awaited, $0.retryAt) }
    if let retryAt { return retryAt.hasPassed }
    if !signalled.isDisjoint(with: awaited.union([.readClosed, .writeClosed, .failed])) { return true }
    guard case .descriptor(let descriptor) = transport.readinessSource else { return false }
    return descriptor.isReady(for: awaited)
  }
}
