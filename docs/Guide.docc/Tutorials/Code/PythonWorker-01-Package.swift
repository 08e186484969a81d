// swift-tools-version: 6.3
import PackageDescription

let package = Package(
  name: "Words",
  dependencies: [
    .package(path: "../swift-socketwrapper")
  ],
  targets: [
    .executableTarget(
      name: "Words",
      dependencies: [
        .product(name: "SWMessaging", package: "swift-socketwrapper"),
        .product(name: "SWPickle", package: "swift-socketwrapper"),
      ])
  ])
