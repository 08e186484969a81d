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
/// **What would block must not have been taken,** and what is encrypted cannot be taken back. So nothing is encrypted
/// before earlier ciphertext is out and the socket says that it has room, and then no more than a socket with room
/// takes whole. Should one take less all the same, the rest goes out in front of whatever is attempted next.
///
/// **The end.** `finishSending` sends a close_notify, receiving goes on; `close` sends one, too. Before the end of
/// the handshake neither can be sent: then a receive sends it as soon as the handshake has ended. If a peer ends without
/// one, the connection was cut off, which is an error: `ECONNABORTED`. An error of TLS, such as a refused certificate, is
/// `EPROTO`, and `failure` says more.
// Invariant: everything that changes is accessed with the lock held. After the close only `linger` accesses it.
public final class TLSTransport: SocketLike, @unchecked Sendable {
  public enum Role: Sendable {
    case server(TLSIdentity)
    /// Trusts this certificate alone, and only for this host.
    case client(trusting: TLSIdentity, host: String)
  }
  public enum Version: Sendable { case tls12, tls13 }

  private static let largestRecord = 16_384
  /// How much may wait in memory because the peer, or our own caller, does not take it.
  private static let mostWaiting = 1 << 18

  private let lock = NSLock()
  private let socket: Int32
  private let session: OpaquePointer
  private let incoming: OpaquePointer
  private let outgoing: OpaquePointer
  private var signal: ReadinessSignal?
  /// Whom the attempt that is being made gives reason to try again.
  private var news: Readiness = []
  /// Ciphertext on its way from `outgoing` to the socket.
  private var staged: ArraySlice<UInt8> = []
  /// Plaintext that came during another handshake.
  private var early: ArraySlice<UInt8> = []
  private var hasShakenHands = false
  private var isToShakeHands = false
  private var isToEnd = false
  private var hasPeerEnded = false
  private var error: TransportError?
  private var explanation: String?

  /// Takes over a connected stream socket.
  public init(_ socket: consuming OwnedDescriptor, as role: Role, _ version: Version = .tls13) {
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
      // Tickets to resume with: a client that only sends would close with them unread, and so reset the connection.
      SSL_CTX_set_num_tickets(context, 0)
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

  public var readinessSource: ReadinessSource { .descriptor(.init(rawValue: socket)) }

  /// The error of a session that failed, in OpenSSL's words.
  public var failure: String? { lock.withLock { explanation } }

  /// The session knows more than its socket shows: a send may have taken in what a receiver waits for.
  public func attach(_ signal: ReadinessSignal) { lock.withLock { self.signal = signal } }

  // MARK: Attempts

  public func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    locked { () -> Attempt in
      if early.isEmpty {
        if let error { return .failed(error) }
        if !isShakingHandsAgain {
          return attempt(.readable) { SSL_read(session, memory.baseAddress, Int32(clamping: memory.count)) }
        }
        let attempt = readEarly(.readable)
        guard case .transferred = attempt else { return attempt }
      }
      let count = min(early.count, memory.count)
      memory.copyBytes(from: early.prefix(count))
      early.removeFirst(count)
      // A send may have waited for room.
      news.insert(.writable)
      return .transferred(count)
    }
  }

  public func send(_ bytes: UnsafeRawBufferPointer) -> Attempt {
    locked { () -> Attempt in
      if let error { return .failed(error) }
      switch flush() {
      case .done: break
      case .blocked: return .wouldBlock
      case .failed(let error): return .failed(error)
      }
      if let hindrance = shakeHandsAgain() { return hindrance }
      guard isWritable else { return .wouldBlock }
      let count = min(bytes.count, record)
      return attempt(.writable) { SSL_write(session, bytes.baseAddress, Int32(count)) }
    }
  }

  /// Outside the lock, who has reason to is told to try again.
  private func locked(_ make: () -> Attempt) -> Attempt {
    let (attempt, news, signal) = lock.withLock { () -> (Attempt, Readiness, ReadinessSignal?) in
      self.news = []
      let attempt = make()
      return (attempt, self.news, self.signal)
    }
    if !news.isEmpty { signal?.raise(news) }
    return attempt
  }

  /// Repeats an operation of OpenSSL's for as long as ciphertext can be moved for it.
  private func attempt(_ direction: Readiness, _ operation: () -> Int32) -> Attempt {
    while true {
      ERR_clear_error()
      let result = operation()
      let reason = SSL_get_error(session, result)
      if SSL_is_init_finished(session) == 1 { hasShakenHands = true }
      if isToEnd { sayEnd() }
      let flushed = flush()
      if result > 0 { return .transferred(Int(result)) }
      switch reason {
      case SSL_ERROR_ZERO_RETURN: return .endOfStream
      case SSL_ERROR_WANT_READ:
        // A peer that asks for answers and does not take them.
        if BIO_ctrl_pending(outgoing) > Self.mostWaiting { return Self.wait(for: .writable, direction) }
        switch pull() {
        case .done:
          if direction == .writable { news.insert(.readable) }
          continue
        case .failed(let error): return .failed(error)
        case .blocked: break
        }
        // The bytes that the peer sent before it went have been received by now.
        if case .failed(let error) = flushed { return .failed(error) }
        if hasPeerEnded {
          return fail(TransportError(.receive, .connectionAbort), "the peer ended without a close_notify")
        }
        // The peer may be waiting for what is not out yet.
        if case .blocked = flushed { return .waitsFor([.readable, .writable]) }
        return Self.wait(for: .readable, direction)
      default:
        let operation: TransportError.Operation = direction == .readable ? .receive : .send
        return fail(TransportError(operation, .protocolError), Self.lastError)
      }
    }
  }

  private static func wait(for readiness: Readiness, _ direction: Readiness) -> Attempt {
    readiness == direction ? .wouldBlock : .waitsFor(readiness)
  }

  /// Both directions are over.
  private func fail(_ error: TransportError, _ explanation: String) -> Attempt {
    self.error = error
    self.explanation = explanation
    news = [.readable, .writable]
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
        let pending = min(BIO_ctrl_pending(outgoing), Self.mostWaiting)
        if pending == 0 { return .done }
        var block = [UInt8](repeating: 0, count: pending)
        let count = BIO_read(outgoing, &block, Int32(pending))
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
    var block = [UInt8](repeating: 0, count: Self.largestRecord)
    while true {
      let count = recv(socket, &block, block.count, Int32(MSG_DONTWAIT))
      if count > 0 {
        BIO_write(incoming, block, Int32(count))
        return .done
      }
      if count == 0 { hasPeerEnded = true }
      if count == 0 || errno == EAGAIN { return .blocked }
      if errno != EINTR { return .failed(TransportError(.receive, .init(rawValue: errno))) }
    }
  }

  private var isWritable: Bool {
    var polled = pollfd(fd: socket, events: Int16(POLLOUT), revents: 0)
    return poll(&polled, 1, 0) > 0
  }

  /// How much of a send becomes a record: a socket with room, TCP's or Unix's, takes a quarter of its buffer whole.
  private var record: Int {
    var (buffer, size) = (Int32(), socklen_t(MemoryLayout<Int32>.size))
    getsockopt(socket, SOL_SOCKET, SO_SNDBUF, &buffer, &size)
    return min(max(Int(buffer) / 8, 512), Self.largestRecord)
  }

  // MARK: The end

  public func finishSending() throws(TransportError) {
    let move = lock.withLock { () -> Move in
      if let error { return .failed(error) }
      isToEnd = true
      sayEnd()
      return flush()
    }
    switch move {
    case .done: return
    case .blocked: throw TransportError(.finishSending, .wouldBlock)
    case .failed(let error): throw error
    }
  }

  private func sayEnd() {
    guard error == nil, SSL_is_init_finished(session) == 1 else { return }
    if SSL_get_shutdown(session) & SSL_SENT_SHUTDOWN == 0 { SSL_shutdown(session) }
  }

  public func close() {
    let isDone = lock.withLock { () -> Bool in
      sayEnd()
      // With something unread, the connection would be reset, and the peer lose what is on its way to it.
      var rounds = 0
      while case .done = pull(), rounds < 100 { rounds += 1 }
      if case .blocked = flush() { return false }
      return true
    }
    // Accepted bytes are sent after the close, as a kernel sends the bytes that it has accepted.
    if isDone { Glibc.close(socket) } else { Thread.detachNewThread { self.linger() } }
  }

  /// Until all is out, or the peer has taken nothing for half a minute.
  private func linger() {
    var polled = pollfd(fd: socket, events: Int16(POLLOUT), revents: 0)
    while case .blocked = flush(), poll(&polled, 1, 30_000) > 0 {}
    Glibc.close(socket)
  }

  // MARK: In the midst of a session

  /// Changes the keys of both directions (TLS 1.3) with the next send: the peer has to answer.
  public func updateKeys() {
    lock.withLock { _ = SSL_key_update(session, SSL_KEY_UPDATE_REQUESTED) }
  }

  /// Begins another handshake with the next send (TLS 1.2).
  public func renegotiate() {
    lock.withLock { isToShakeHands = true }
  }

  /// How many handshakes have been carried out anew.
  public var renegotiations: Int { lock.withLock { Int(ctls_renegotiations(session)) } }

  private var isShakingHandsAgain: Bool {
    hasShakenHands && SSL_version(session) < TLS1_3_VERSION
      && (SSL_in_init(session) == 1 || SSL_renegotiate_pending(session) == 1)
  }

  /// In front of a send, goes on with another handshake that has begun (TLS 1.2). Only a read may: the peer did not
  /// know of it when it sent what is under way, and SSL_write would take that for a breach.
  ///
  /// - Returns: how the attempt ends, unless it may get on.
  private func shakeHandsAgain() -> Attempt? {
    if !hasShakenHands || SSL_version(session) >= TLS1_3_VERSION { isToShakeHands = false }
    while isToShakeHands || isShakingHandsAgain {
      // Until the receiver has taken some.
      if early.count > Self.mostWaiting { return .waitsFor([]) }
      // Not in front of what is left of a record, nor in another: OpenSSL loses its way.
      if isToShakeHands, !isShakingHandsAgain, SSL_has_pending(session) == 0 {
        isToShakeHands = false
        SSL_renegotiate(session)
      }
      let attempt = readEarly(.writable)
      if attempt == .endOfStream { return .failed(TransportError(.send, .brokenPipe)) }
      guard case .transferred = attempt else { return attempt }
      news.insert(.readable)
    }
    return nil
  }

  /// During a handshake OpenSSL wants records to be read whole.
  private func readEarly(_ direction: Readiness) -> Attempt {
    var block = [UInt8](repeating: 0, count: Self.largestRecord)
    let attempt = attempt(direction) { SSL_read(session, &block, Int32(block.count)) }
    if case .transferred(let count) = attempt { early += block.prefix(count) }
    return attempt
  }
}
