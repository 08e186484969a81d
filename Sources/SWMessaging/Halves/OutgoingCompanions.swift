package import SWIO
package import SystemPackage

/// What goes beside the bytes of a send. The descriptors are the sender's, who keeps them open until its call
/// has ended.
package final class OutgoingCompanions: Sendable {
  let descriptors: [FileDescriptor]
  let address: SocketAddress?

  package init(_ descriptors: [FileDescriptor], to address: SocketAddress?) {
    self.descriptors = descriptors
    self.address = address
  }
}
