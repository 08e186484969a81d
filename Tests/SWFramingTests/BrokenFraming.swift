import SWFraming
import Synchronization

/// A framing of payloads behind a length of two bytes, with one fault; what `checkFraming` is for.
///
/// ```
///   00 03 61 62 63    "abc"
/// ```
struct BrokenFraming: ByteFraming {
  enum Fault: CaseIterable, Sendable {
    case refusesToEncode
    case encodesNothing
    case encodesTooShortALength
    case losesTheLastByte
    case refusesItsOwn
    case shrinksItsDemand
    case asksForWhatItHas
    case readsPastTheEnd
    case takesMoreThanTheFrame
    case takesWhatIsThere
    case takesAllThereIs
    case takesNothing
    case asksForNothing
    case forgetsASplitHeader
    case sharesItsState
    case misplacesThePayload
    case refusesDependingOnChunks
    case endsWithMoreThanThereIs
    case endsWithAFrameOfNothing
    case endsNothingWithAFrame
    case endsNothingInTheMiddle
    case endsACutFrameWithNothing
    case contradictsItsByteCount
    case refusesInDecode
    case fillsWithMoreThanTheFrame
    case fillsWithAnotherMessage
    case fillsWithAPart
    case refusesInFilling
    case endsAShortCutWithNothing
  }

  struct Refusal: Error {}

  /// `nil` is the framing as it should be.
  var fault: Fault?

  func makeScanner() -> Scanner { Scanner(fault: fault) }

  func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope {
    var header = ShortBytes()
    let length = fault == .encodesTooShortALength ? max(0, payload.count - 1) : payload.count
    header.append(bigEndian: UInt64(length), byteCount: 2)
    return FrameEnvelope(header: header)
  }

  func envelope(forByteCount byteCount: Int) throws(FramingError) -> FrameEnvelope? {
    var header = ShortBytes()
    header.append(
      bigEndian: UInt64(fault == .contradictsItsByteCount ? byteCount + 1 : byteCount), byteCount: 2)
    return FrameEnvelope(header: header)
  }

  func encode(_ message: [UInt8], into parts: inout FrameParts) throws {
    if fault == .refusesToEncode { throw Refusal() }
    if fault == .encodesNothing { return }
    parts.append(try envelope(for: message.span).header)
    parts.append(message)
  }

  func decode(
    _ frame: Span<UInt8>, payload: Range<Int>, scanned: borrowing Scanner
  ) throws -> [UInt8] {
    // A checksum, say, that no message of the check breaks.
    if fault == .refusesInDecode, frame.count > 2, frame[2] == 0x80 { throw Refusal() }
    let end = fault == .losesTheLastByte ? max(2, frame.count - 1) : frame.count
    return (2..<end).map { index in frame[index] }
  }

  func decode(filling bytes: Span<UInt8>) throws -> [UInt8] {
    let length = bytes.count >= 2 ? Int(bytes[0]) << 8 | Int(bytes[1]) : 0
    let isFitting = bytes.count == 2 + length
    switch fault {
    case .fillsWithMoreThanTheFrame where bytes.count > 2 + length: break
    case .fillsWithAPart where bytes.count == 1 + length && length > 0:
      return (2..<bytes.count).map { bytes[$0] } + payload(byteCount: length).suffix(1)
    case .fillsWithAnotherMessage where isFitting && length > 0: return []
    case .refusesInFilling where isFitting && length > 0 && bytes[2] >= 0x80: throw Refusal()
    default:
      var scanner = makeScanner()
      let demand = try scanner.demand(in: bytes)
      guard let payload = demand.payload, demand.byteCount == bytes.count else {
        throw FramingError(.misfit, offset: bytes.count)
      }
      return try decode(bytes, payload: payload, scanned: scanner)
    }
    return (2..<(2 + length)).map { bytes[$0] }
  }

  struct Scanner: FrameScanner {
    var fault: Fault?
    private let shared = SharedLength()
    private var sawHalfAHeader = false

    init(fault: Fault?) { self.fault = fault }

    func atEnd(of received: Span<UInt8>) throws(FramingError) -> FrameEnd {
      switch fault {
      case .endsWithMoreThanThereIs where !received.isEmpty:
        return .frame(.frame(byteCount: received.count + 1, payload: 0..<0))
      case .endsWithAFrameOfNothing where !received.isEmpty:
        return .frame(.frame(byteCount: 0, payload: 0..<0))
      case .endsNothingWithAFrame where received.isEmpty:
        return .frame(.frame(byteCount: 1, payload: 0..<0))
      case .endsNothingInTheMiddle where received.isEmpty: return .incomplete
      case .endsACutFrameWithNothing: return .nothing
      case .endsAShortCutWithNothing: return received.count <= 2 ? .nothing : .incomplete
      default: return received.isEmpty ? .nothing : .incomplete
      }
    }

    mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
      if fault == .sharesItsState, let length = shared.value {
        return .frame(byteCount: 2 + length, payload: 2..<(2 + length))
      }
      guard received.count >= 2 else {
        if received.count == 1 { sawHalfAHeader = true }
        return .atLeast(fault == .asksForWhatItHas ? 1 : 2)
      }
      let high = fault == .forgetsASplitHeader && sawHalfAHeader ? 0 : Int(received[0])
      let length = high << 8 | Int(received[1])
      shared.value = length
      let end = 2 + length

      switch fault {
      case .refusesItsOwn where length == 1:
        throw FramingError(.malformedHeader, offset: 1)
      case .refusesDependingOnChunks where received[0] == 0xff && received.count > 2:
        throw FramingError(.malformedHeader, offset: 0)
      case .shrinksItsDemand where received.count < end:
        return .atLeast(received.count == 2 ? end : received.count + 1)
      case .readsPastTheEnd where received.count == end:
        return .atLeast(end + 1)
      case .takesMoreThanTheFrame:
        return .frame(byteCount: end + 1, payload: 2..<end)
      case .takesWhatIsThere where received.count < end:
        return .frame(byteCount: received.count, payload: 2..<received.count)
      case .takesNothing where length == 2:
        return .frame(byteCount: 0, payload: 0..<0)
      case .asksForNothing where length == 2:
        return .atLeast(0)
      case .takesAllThereIs where received.count > end:
        return .frame(byteCount: received.count, payload: 2..<received.count)
      case .misplacesThePayload:
        return .frame(byteCount: end, payload: 0..<end)
      default:
        return .frame(byteCount: end, payload: 2..<end)
      }
    }
  }
}

/// State behind a reference, which a scanner must not have.
private final class SharedLength: Sendable {
  private let state = Mutex<Int?>(nil)

  var value: Int? {
    get { state.withLock { length in length } }
    set { state.withLock { length in length = newValue } }
  }
}
