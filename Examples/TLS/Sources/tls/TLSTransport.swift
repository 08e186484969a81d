import COpenSSL
import Foundation
import Glibc
import SWMessaging

/// TLS over a stream socket, as a transport: endpoints and framings stand on it as on the socket itself.
///
///     endpoint   plaintext    OpenSSL      ciphertext    socket
///       send  ------------->  SSL_write -->  outgoing  ------------> send MSG_DONTWAIT | MSG_NOSIGNAL
///     receive <-------------  SSL_read  <--  incoming  <------------ recv MSG_DONTWAIT
///
/// OpenSSL reads and writes memory, and this class moves what is there, so the socket needs no O_NONBLOCK, and
/// nothing raises SIGPIPE. One session serves both directions: a receive may have to send first, an alert or its
/// part of a handshake, and a send may have to receive. Such an attempt `waitsFor` the other readiness.
///
/// **What would block must not have been taken.** A record, once it is encrypted, has to go out, and its bytes
/// cannot be taken back. So nothing is encrypted before earlier ciphertext is out and the socket says that it has
/// room; and when a record still does not fit, its last byte is not reported as sent before the rest of the record
/// is. So the endpoint comes back: what it has begun it goes on with.
///
/// **The end.** `finishSending` sends a close_notify, receiving goes on; `close` sends one if nothing is in its
/// way. A peer that ends without one has been cut off, and that is an error: `ECONNABORTED`. What breaks TLS,
/// a certificate that is refused for instance, is `EPROTO`, and `failure` says more.
// Invariant: everything that changes is touched with the lock held.
final class TLSTransport: SocketLike, @unchecked Sendable {
  enum Role {
    case server(TLSIdentity)
    /// Trusts this certificate alone, and only for this host.
    case client(trusting: TLSIdentity, host: String)
  }
  enum Version { case tls12, tls13 }

  private let lock = NSLock()
  private let socket: Int32
  private let session: OpaquePointer
  private let incoming: OpaquePointer
  private let outgoing: OpaquePointer
  private var signal: ReadinessSignal?
  /// Ciphertext on its way from `outgoing` to the socket.
  private var staged: ArraySlice<UInt8> = []
  /// The last byte of a record that is not out yet: encrypted, and not reported as sent.
  private var heldBack: UInt8?
  private var hasEnded = false
  private var error: TransportError?
  private var explanation: String?

  /// Takes over a connected stream socket.
  init(_ socket: consuming OwnedDescriptor, as role: Role, _ version: Version = .tls13) {
    guard let context = SSL_CTX_new(TLS_method()), let incoming = BIO_new(BIO_s_mem()),
      let outgoing = BIO_new(BIO_s_mem())
    else { preconditionFailure("OpenSSL has memory") }
    defer { SSL_CTX_free(context) }
    let number = version == .tls12 ? TLS1_2_VERSION : TLS1_3_VERSION
    precondition(ctls_set_versions(context, number, number) == 1, "a version that OpenSSL has")
    ctls_set_modes(context)
    switch role {
    case .server(let identity):
      let isReady =
        SSL_CTX_use_certificate(context, identity.certificate) == 1
        && SSL_CTX_use_PrivateKey(context, identity.key) == 1
      precondition(isReady, "a key that fits the certificate")
      ctls_allow_renegotiation(context)
    case .client(let trusted, _):
      SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nil)
      X509_STORE_add_cert(SSL_CTX_get_cert_store(context), trusted.certificate)
    }
    guard let session = SSL_new(context) else { preconditionFailure("OpenSSL has memory") }
    SSL_set_bio(session, incoming, outgoing)
    switch role {
    case .server: SSL_set_accept_state(session)
    case .client(_, let host):
      SSL_set_connect_state(session)
      precondition(SSL_set1_host(session, host) == 1 && ctls_set_server_name(session, host) == 1)
    }
    self.socket = socket.release().rawValue
    self.session = session
    self.incoming = incoming
    self.outgoing = outgoing
  }

  deinit { SSL_free(session) }

  var readinessSource: ReadinessSource { .descriptor(.init(rawValue: socket)) }

  /// What came of a session that failed, in OpenSSL's words.
  var failure: String? { lock.withLock { explanation } }

  /// The session knows more than its socket shows: a send may have taken in what a receiver waits for.
  func attach(_ signal: ReadinessSignal) { lock.withLock { self.signal = signal } }

  // MARK: Attempts

  func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    lock.withLock {
      if let error { return .failed(error) }
      let room = Int32(clamping: memory.count)
      return attempt(.readable) { SSL_read(session, memory.baseAddress, room) }
    }
  }

  func send(_ bytes: UnsafeRawBufferPointer) -> Attempt {
    let (attempt, hasTakenIn, signal) = lock.withLock {
      let before = BIO_ctrl_pending(incoming)
      let attempt = sendLocked(bytes)
      return (attempt, BIO_ctrl_pending(incoming) > before || SSL_has_pending(session) == 1, self.signal)
    }
    if hasTakenIn { signal?.raise(.readable) }
    return attempt
  }

  private func sendLocked(_ bytes: UnsafeRawBufferPointer) -> Attempt {
    if let error { return .failed(error) }
    switch flush() {
    case .done: break
    case .blocked: return .wouldBlock
    case .failed(let error): return .failed(error)
    }
    var sent = 0
    if let last = heldBack {
      guard bytes.first == last else {
        return fail(TransportError(.send, .ioError), "what was begun has to be gone on with")
      }
      heldBack = nil
      sent = 1
    }
    if sent == bytes.count { return .transferred(sent) }
    guard isWritable else { return sent > 0 ? .transferred(sent) : .wouldBlock }
    let rest = UnsafeRawBufferPointer(rebasing: bytes[sent...].prefix(16_384))
    let attempt = attempt(.writable) { SSL_write(session, rest.baseAddress, Int32(rest.count)) }
    guard case .transferred(var count) = attempt else { return sent > 0 ? .transferred(sent) : attempt }
    if staged.isEmpty { return .transferred(sent + count) }
    count -= 1
    heldBack = rest[count]
    return sent + count > 0 ? .transferred(sent + count) : .wouldBlock
  }

  /// Repeats an operation of OpenSSL's for as long as ciphertext can be moved for it.
  private func attempt(_ direction: Readiness, _ operation: () -> Int32) -> Attempt {
    while true {
      ERR_clear_error()
      let result = operation()
      let reason = SSL_get_error(session, result)
      let flushed = flush()
      if result > 0 { return .transferred(Int(result)) }
      switch reason {
      case SSL_ERROR_ZERO_RETURN: return .endOfStream
      case SSL_ERROR_WANT_READ:
        switch pull() {
        case .done: continue
        case .failed(let error): return .failed(error)
        case .blocked: break
        }
        // What the peer sent before it went has been taken in by now.
        if case .failed(let error) = flushed { return .failed(error) }
        if hasEnded {
          return fail(TransportError(.receive, .connectionAbort), "the peer ended without a close_notify")
        }
        var awaited = Readiness.readable
        // The peer may be waiting for what is not out yet.
        if case .blocked = flushed { awaited.insert(.writable) }
        return awaited == direction ? .wouldBlock : .waitsFor(awaited)
      default:
        let operation: TransportError.Operation = direction == .readable ? .receive : .send
        return fail(TransportError(operation, .protocolError), Self.lastError)
      }
    }
  }

  private func fail(_ error: TransportError, _ explanation: String) -> Attempt {
    self.error = error
    self.explanation = explanation
    return .failed(error)
  }

  private static var lastError: String {
    var text = [CChar](repeating: 0, count: 256)
    ERR_error_string_n(ERR_get_error(), &text, text.count)
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  // MARK: Ciphertext

  private enum Move {
    case done, blocked
    case failed(TransportError)
  }

  /// Hands ciphertext to the socket.
  private func flush() -> Move {
    while true {
      if staged.isEmpty {
        var block = [UInt8](repeating: 0, count: 17_000)
        let count = BIO_read(outgoing, &block, Int32(block.count))
        if count <= 0 { return .done }
        staged = block.prefix(Int(count))
      }
      let flags = Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL)
      let sent = staged.withUnsafeBytes { Glibc.send(socket, $0.baseAddress, $0.count, flags) }
      if sent > 0 {
        staged.removeFirst(sent)
      } else if errno == EAGAIN {
        return .blocked
      } else if errno != EINTR {
        return .failed(TransportError(.send, .init(rawValue: errno)))
      }
    }
  }

  /// Takes ciphertext from the socket.
  private func pull() -> Move {
    var block = [UInt8](repeating: 0, count: 16_384)
    while true {
      let count = recv(socket, &block, block.count, Int32(MSG_DONTWAIT))
      if count > 0 {
        BIO_write(incoming, block, Int32(count))
        return .done
      }
      if count == 0 { hasEnded = true }
      if count == 0 || errno == EAGAIN { return .blocked }
      if errno != EINTR { return .failed(TransportError(.receive, .init(rawValue: errno))) }
    }
  }

  private var isWritable: Bool {
    var polled = pollfd(fd: socket, events: Int16(POLLOUT), revents: 0)
    return poll(&polled, 1, 0) > 0
  }

  // MARK: The end

  func finishSending() throws(TransportError) {
    let move = lock.withLock { () -> Move in
      if let error { return .failed(error) }
      // A session that has not begun has to: an end is part of it.
      if SSL_is_init_finished(session) == 0 {
        switch attempt(.writable, { SSL_do_handshake(session) }) {
        case .transferred: break
        case .failed(let error): return .failed(error)
        default: return .blocked
        }
      }
      if SSL_get_shutdown(session) & SSL_SENT_SHUTDOWN == 0 { SSL_shutdown(session) }
      return flush()
    }
    switch move {
    case .done: return
    case .blocked: throw TransportError(.finishSending, .wouldBlock)
    case .failed(let error): throw error
    }
  }

  func close() {
    lock.withLock {
      let maySay = error == nil && SSL_is_init_finished(session) == 1
      if maySay, case .done = flush(), SSL_get_shutdown(session) & SSL_SENT_SHUTDOWN == 0 {
        SSL_shutdown(session)
        _ = flush()
      }
      Glibc.close(socket)
    }
  }

  // MARK: In the midst of a session

  /// Changes the keys of both directions (TLS 1.3): the peer has to answer.
  func updateKeys() {
    lock.withLock { _ = SSL_key_update(session, SSL_KEY_UPDATE_REQUESTED) }
  }

  /// Begins another handshake with the next send (TLS 1.2).
  func renegotiate() {
    lock.withLock { _ = SSL_renegotiate(session) }
  }

  /// How many handshakes have been carried out anew.
  var renegotiations: Int { lock.withLock { Int(ctls_renegotiations(session)) } }
}
