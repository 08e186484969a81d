// swift-tools-version: 6.2

import PackageDescription

// A package of its own, so that whoever uses the library needs no OpenSSL.
let package = Package(
  name: "TLS",
  dependencies: [
    .package(name: "swift-socketwrapper", path: "../..")
  ],
  targets: [
    .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
    .executableTarget(
      name: "tls",
      dependencies: [
        "COpenSSL",
        .product(name: "SWMessaging", package: "swift-socketwrapper"),
        .product(name: "SWTesting", package: "swift-socketwrapper"),
      ],
      swiftSettings: [
        .swiftLanguageMode(.v6), .treatAllWarnings(as: .error),
        .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
      ]),
  ]
)
