import Glibc
public import SWIO
import SystemPackage
import Testing

/// A TCP connection whose first end takes long to close: its last `close` waits until the second end has read, or for so
/// many seconds.
public func makeLingeringConnection(seconds: Int32) throws -> DescriptorPair {
  let pair = try DescriptorPair.sockets(.tcp)
  let number = pair.first.withDescriptor { $0.rawValue }
  // Small ones, because some tests make many.
  for (number, option) in [(number, SO_SNDBUF), (pair.second.withDescriptor { $0.rawValue }, SO_RCVBUF)] {
    var size: Int32 = 1
    _ = unsafe setsockopt(number, SOL_SOCKET, option, &size, socklen_t(MemoryLayout<Int32>.size))
  }
  // More than both buffers hold.
  let chunk = [UInt8](repeating: 1, count: 65_536)
  while unsafe chunk.withUnsafeBytes({
    unsafe send(number, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
  }) > 0 {}
  var value = linger(l_onoff: 1, l_linger: seconds)
  let size = socklen_t(MemoryLayout<linger>.size)
  let isSet = unsafe setsockopt(number, SOL_SOCKET, SO_LINGER, &value, size) == 0
  try #require(isSet)
  return pair
}
