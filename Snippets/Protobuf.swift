// A stream of protobuf messages, as swift-protobuf's `BinaryDelimited` writes it. Here the messages are
// bytes; with swift-protobuf a mapping makes them what they are, as Examples/Protobuf does:
//
//     ProtobufDelimitedFraming.protobufDelimited.mapping(
//       receiving: { bytes in try Place(serializedBytes: bytes) },
//       sending: { (place: Place) in try place.serializedBytes() })
import SWMessaging

// The bytes that protobuf writes (Python, 7.36.2) for two `google.protobuf.StringValue`: "hello", and the empty one.
let stream: [UInt8] = [0x07, 0x0a, 0x05, 0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x00]

let (raw, peer) = try makeSocketPair()
let messages = MessageDuplex(over: peer, framing: .protobufDelimited)

_ = try await raw.send(stream)
let hello = try await messages.receive(timeout: .seconds(60))
let empty = try await messages.receive(timeout: .seconds(60))
print("received \(hello) and \(empty)")
precondition(hello == [0x0a, 5] + Array("hello".utf8) && empty.isEmpty)

try await messages.send(hello)
try await messages.send(empty)
let sent = try await raw.receive(exactly: stream.count, timeout: .seconds(60))
precondition(sent == stream)
print("and sent the same bytes")

// Prints:
//   received [10, 5, 104, 101, 108, 108, 111] and []
//   and sent the same bytes
