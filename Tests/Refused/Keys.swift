// A key without the package trait that it needs. scripts/api compiles this, and holds the compiler to what it refuses.
import SWMultiprocessing

func keys() {
  _ = Authentication(key: "secret")  // refused: enable the trait Multiprocessing
  _ = Authentication(key: [1, 2], leastDigest: .sha256)  // refused: enable the trait Multiprocessing
}
