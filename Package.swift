// swift-tools-version: 6.2

import PackageDescription

/// One set of settings for every target of ours: language mode 6, memory safety that must be spelled
/// out, and no warning left standing.
let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

let system = Target.Dependency.product(name: "SystemPackage", package: "swift-system")

let package = Package(
  name: "swift-socketwrapper",
  products: [
    .library(name: "SWIO", targets: ["SWIO"]),
    .library(name: "SWFraming", targets: ["SWFraming"]),
    .library(name: "SWMessaging", targets: ["SWMessaging"]),
    .library(name: "SWTesting", targets: ["SWTesting"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-system", from: "1.6.0")
  ],
  targets: [
    .target(name: "CSysShim"),
    .target(name: "SWIO", dependencies: ["CSysShim", system], swiftSettings: settings),
    .target(name: "SWFraming", swiftSettings: settings),
    .target(
      name: "SWMessaging", dependencies: ["CSysShim", "SWIO", "SWFraming", system],
      swiftSettings: settings),
    .target(
      name: "SWTesting", dependencies: ["CSysShim", "SWIO", "SWFraming", "SWMessaging", system],
      swiftSettings: settings),
    .target(
      name: "SWSimulation", dependencies: ["SWIO", "SWFraming", "SWMessaging", "SWTesting", system],
      swiftSettings: settings),
    .executableTarget(name: "simulate", dependencies: ["SWSimulation"], swiftSettings: settings),
    .testTarget(
      name: "SimulationTests", dependencies: ["SWSimulation", "SWMessaging", "SWTesting"],
      swiftSettings: settings),
    .testTarget(
      name: "SWFramingTests", dependencies: ["SWFraming", "SWMessaging", "SWTesting"],
      resources: [.copy("Vectors")], swiftSettings: settings),
    // What can only be seen from outside: one process for each question.
    .executableTarget(
      name: "probe", dependencies: ["CSysShim", "SWMessaging", "SWTesting", system], path: "Tests/Probe",
      swiftSettings: settings),
    .testTarget(
      name: "SWMessagingTests", dependencies: ["CSysShim", "SWMessaging", "SWTesting", "probe", system],
      swiftSettings: settings),
    .testTarget(
      name: "InteropTests", dependencies: ["SWMessaging", "SWTesting", "probe"],
      resources: [.copy("Peers")], swiftSettings: settings),
  ]
)
