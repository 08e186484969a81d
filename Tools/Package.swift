// swift-tools-version: 6.3

import PackageDescription

// A separate package, so users of the library do not fetch the dependencies of a command line. It uses only the
// library's public interface, like any other program.

let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

let package = Package(
  name: "Tools",
  products: [.executable(name: "swcat", targets: ["swcat"])],
  dependencies: [
    // The trait brings swift-crypto, for the keys of Python's listeners.
    .package(name: "swift-socketwrapper", path: "..", traits: ["Multiprocessing"]),
    .package(url: "https://github.com/apple/swift-system", from: "1.6.0"),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
  ],
  targets: [
    .executableTarget(
      name: "swcat",
      dependencies: [
        .product(name: "SWMessaging", package: "swift-socketwrapper"),
        .product(name: "SWMsgPack", package: "swift-socketwrapper"),
        .product(name: "SWMultiprocessing", package: "swift-socketwrapper"),
        .product(name: "SWPickle", package: "swift-socketwrapper"),
        .product(name: "SystemPackage", package: "swift-system"),
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: settings),
    // They run the program as it was built, from outside.
    .testTarget(
      name: "swcatTests", dependencies: ["swcat"], exclude: ["Golden"], swiftSettings: settings),
  ]
)
