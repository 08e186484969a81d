// swift-tools-version: 6.3

import PackageDescription

let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6), .treatAllWarnings(as: .error),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

// A package of its own, so that users of the library need no OpenSSL.
let package = Package(
  name: "TLS",
  dependencies: [
    .package(name: "swift-socketwrapper", path: "../..")
  ],
  targets: [
    .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
    .target(
      name: "TLS",
      dependencies: ["COpenSSL", .product(name: "SWMessaging", package: "swift-socketwrapper")],
      swiftSettings: settings),
    .executableTarget(name: "demo", dependencies: ["TLS"], swiftSettings: settings),
    .testTarget(
      name: "TLSTests",
      dependencies: ["TLS", "COpenSSL", .product(name: "SWTesting", package: "swift-socketwrapper")],
      swiftSettings: settings),
  ]
)
