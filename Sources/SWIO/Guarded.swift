#if SW_TSAN
  internal import Glibc

  /// A value behind a lock that the thread sanitizer understands.
  ///
  /// The slow path of the standard library's mutex is in a library that is not instrumented. So the sanitizer does not see
  /// which thread waited for which, and reports every contended section. Only `make sanitize` builds with this type.
  // Invariant: `value` is accessed only between lock and unlock. Both pointers live as long as this value.
  @safe package struct Guarded<Value: ~Copyable>: ~Copyable, @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let value: UnsafeMutablePointer<Value>

    package init(_ initial: consuming sending Value) {
      unsafe mutex = .allocate(capacity: 1)
      unsafe value = .allocate(capacity: 1)
      _ = unsafe pthread_mutex_init(mutex, nil)
      unsafe value.initialize(to: initial)
    }

    deinit {
      _ = unsafe pthread_mutex_destroy(mutex)
      unsafe value.deinitialize(count: 1)
      unsafe value.deallocate()
      unsafe mutex.deallocate()
    }

    package borrowing func withLock<Result: ~Copyable, Failure: Error>(
      _ body: (inout sending Value) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
      _ = unsafe pthread_mutex_lock(mutex)
      defer { _ = unsafe pthread_mutex_unlock(mutex) }
      return try unsafe body(&value.pointee)
    }
  }
#else
  package import Synchronization

  /// A value behind a lock.
  package typealias Guarded = Mutex
#endif
