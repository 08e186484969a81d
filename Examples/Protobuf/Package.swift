// swift-tools-version: 6.3

import PackageDescription

// A package of its own, so that users of the library do not fetch swift-protobuf.
let package = Package(
  name: "Protobuf",
  dependencies: [
    .package(name: "swift-socketwrapper", path: "../.."),
    .package(url: "https://github.com/apple/swift-protobuf", from: "1.30.0"),
  ],
  targets: [
    .executableTarget(
      name: "protobuf",
      dependencies: [
        .product(name: "SWMessaging", package: "swift-socketwrapper"),
        .product(name: "SwiftProtobuf", package: "swift-protobuf"),
      ],
      swiftSettings: [.swiftLanguageMode(.v6), .treatAllWarnings(as: .error)])
  ]
)
