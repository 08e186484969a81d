import Glibc

/// A thread beside the main one.
struct SecondThread {
  private let number: pthread_t

  private final class Work {
    let body: () -> Void
    init(_ body: @escaping () -> Void) { self.body = body }
  }

  init(_ body: @escaping @Sendable () -> Void) {
    var number = pthread_t()
    let work = unsafe Unmanaged.passRetained(Work(body)).toOpaque()
    let errno = unsafe pthread_create(
      &number, nil,
      { work in
        if let work = unsafe work { unsafe Unmanaged<Work>.fromOpaque(work).takeRetainedValue().body() }
        return nil
      }, work)
    if errno != 0 { fail("no thread can be had") }
    self.number = number
  }

  func join() { pthread_join(number, nil) }
}
