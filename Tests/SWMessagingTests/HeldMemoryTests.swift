import CSysTestSupport
import Foundation
import SWFraming
import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// The memory that a peer makes this process hold with one byte.
@Suite(.serialized, .lastResort, .leavesNothing) struct HeldMemoryTests {
  @Test func `one byte of a frame does not hold a block of 64 KiB`() async throws {
    let (left, right) = try makeSocketPair()
    let reader = MessageDuplex(over: right, framing: .varInt)
    let receiving = Task { try await reader.receive() }
    await eventually { reader.queued == 1 }
    try await left.send([5])
    await eventually { reader.held == 1 }
    let half = try #require(right.core.receiving)
    let capacity = half.inspect { _ in unsafe half.turn.capacity }
    #expect(capacity <= 4_096, "one byte is held in \(capacity)")
    receiving.cancel()
    _ = await receiving.result
  }

  /// As an attacker would do it: a block full of frames, and one byte of the next.
  @Test(.disabled(if: isSanitized, "a sanitizer's own memory counts"))
  func `a thousand connections with one byte each cost little memory`() async {
    await #expect(processExitsWith: .success) {
      var limit = rlimit(rlim_cur: 4_096, rlim_max: 4_096)
      _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      let count = 1_000
      var pairs: [(SocketDuplex, MessageDuplex<VarIntFraming>)] = []
      for _ in 0..<count {
        let (left, right) = try makeSocketPair()
        pairs.append((left, MessageDuplex(over: right, framing: .varInt)))
      }
      func resident() throws -> Int {
        let text = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
        return (Int(text.split(separator: " ")[1]) ?? 0) * 4_096
      }
      // 65,535 bytes of a frame, header included, and one of the next.
      let frame = try varIntFrame([UInt8](repeating: 1, count: 21_842))
      let burst = frame + frame + frame + [5]
      let before = try resident()
      for (left, reader) in pairs {
        try await left.send(burst)
        for _ in 0..<3 { _ = try await reader.receive() }
        _ = try? await reader.receive(timeout: .zero)
        #expect(reader.held == 1)
      }
      let each = (try resident() - before) / count
      print("A13: \(each) bytes for each connection that holds one byte")
      #expect(each < 16_384, "\(each) bytes for each connection that holds one byte")
    }
  }

  @Test func `of the room for datagrams only what a large one took is given back`() {
    let room = DatagramRoom.take()
    defer { DatagramRoom.giveBack(room) }
    let kept = DatagramRoom.keptSize
    for count in [kept, kept + 5, kept + 1 << 20] {
      unsafe room.memory.initializeMemory(as: UInt8.self, repeating: 7, count: kept + 1 << 21)
      room.noteUse(of: count)
      // Memory that has been given back is read as 0. Pages go back whole.
      let bytes = unsafe UnsafeRawBufferPointer(start: room.memory, count: kept + 1 << 21)
      #expect(unsafe bytes[..<kept].allSatisfy { $0 == 7 })
      #expect(unsafe bytes[kept..<count].allSatisfy { $0 == 0 })
      #expect(unsafe bytes[(count + 1 << 16)...].allSatisfy { $0 == 7 })
    }
  }

  @Test func `a large datagram leaves no memory behind`() throws {
    let pair = try DescriptorPair.sockets(.unixDatagrams)
    let (ours, theirs) = (pair.first.release(), pair.second.release())
    let size = DatagramRoom.keptSize + 200_000
    guard swsys_force_send_buffer(theirs.rawValue, 8 << 20) > size + 1_000 else {
      for end in [ours, theirs] { try end.close() }
      return  // Only a sender with more rights can make one so large here.
    }
    let reader = MessageReader(
      over: try SocketReader(adopting: OwnedDescriptor(adopting: ours)), framing: .datagram)
    #expect(try theirs.writeAll([UInt8](repeating: 7, count: size)) == size)
    #expect(try reader.blocking.receive() == [UInt8](repeating: 7, count: size))
    // The room that was given back last is the first to be taken.
    let room = DatagramRoom.take()
    let bytes = unsafe UnsafeRawBufferPointer(start: room.memory, count: size)
    #expect(unsafe bytes[0] == 7 && bytes[DatagramRoom.keptSize...].allSatisfy { $0 == 0 })
    DatagramRoom.giveBack(room)
    reader.close()
    try theirs.close()
  }

  /// A datagram transport that does not say how large the next one is.
  private final class Small: SocketLike {
    let readinessSource = ReadinessSource.signal
    let content = TransportContent.datagrams
    func attach(_ signal: ReadinessSignal) {}
    func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
      unsafe memory.copyBytes(from: [UInt8](repeating: 7, count: 16))
      return .transferred(16)
    }
    func send(_ bytes: UnsafeRawBufferPointer) -> Attempt { .failed(TransportError(.send, .notSupported)) }
    func finishSending() {}
    func close() {}
  }

  @Test func `a small datagram of a transport of one's own does not hold 64 KiB`() async throws {
    let reader = SocketReader(transport: Small())
    let bytes = try await reader.receive()
    #expect(bytes.count == 16)
    #expect(bytes.capacity < 1_024, "room that was reserved is \"given back\"")
  }

  @Test func `what the end of the stream has cut off is copied once, however many are told`() async throws {
    let (reader, writer) = try makePipe()
    let messages = MessageReader(over: reader, framing: .varInt)
    try await writer.send([200, 1] + pattern(100))
    writer.close()
    let errors = [
      await endpointError { try await messages.receive() },
      await endpointError { try await messages.receive() },
      await endpointError { try await reader.receive(exactly: 500) },
    ]
    let places = errors.map { error in
      unsafe error?.partialBytes.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) }
    }
    #expect(errors.allSatisfy { $0?.partialBytes.count == 102 })
    #expect(places[0] != nil && places[1] == places[0] && places[2] == places[0])
  }

  @Test func `a half holds memory only for what is unread, and knows how much that is`() throws {
    let hand = HandDriven(receiving: [.bytes([1, 7, 2, 8])])
    let (half, side) = (hand.receiveHalf, hand.side(.varInt))
    var front = ReceiveHalf.Front.unseen
    #expect(try side.messageAtOnce(&front, as: .task, CallLimit(nil, .never)) == [7])
    #expect(half.held == 2)
    hand.transport.append(receiving: [.bytes([9])])
    #expect(hand.result(hand.receive(side.request), side)?.value == [8, 9])
    #expect(unsafe half.held == 0 && half.turn.capacity == 0)
    // A task waits, for nothing yet, and then for the rest of a message.
    let call = hand.receive(side.request)
    #expect(unsafe half.held == 0 && half.turn.capacity == 0)
    hand.bring(.bytes([2, 5]))
    #expect(unsafe half.held == 2 && half.turn.capacity <= 16)
    hand.bring(.bytes([6]))
    #expect(hand.result(call, side)?.value == [5, 6])
  }
}
