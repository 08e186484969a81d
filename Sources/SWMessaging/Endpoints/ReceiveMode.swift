/// How a descriptor is read. All endpoints over one descriptor read it alike.
@nonexhaustive
public enum ReceiveMode: Hashable, Sendable {
  /// One large read may bring many frames, or over UDP sixteen datagrams; what is behind a frame waits in the endpoint.
  case readAhead
  /// Never past the end of the frame that is being received: for a descriptor that another process or another part of
  /// this one will read next.
  case exact
}
