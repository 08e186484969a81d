// swift-tools-version: 6.3

import Foundation
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

/// The name if pkg-config knows it: the build warns of one that it does not know, also where nobody uses it.
func pkgConfig(ifThere name: String) -> String? {
  let environment = Context.environment["PKG_CONFIG_PATH"] ?? ""
  let architectures = (try? FileManager.default.contentsOfDirectory(atPath: "/usr/lib")) ?? []
  let directories =
    environment.split(separator: ":").map(String.init)
    + [
      "/usr/local/lib/pkgconfig", "/usr/local/share/pkgconfig", "/usr/share/pkgconfig", "/usr/lib/pkgconfig",
    ]
    + architectures.map { "/usr/lib/\($0)/pkgconfig" }
  return directories.contains { FileManager.default.fileExists(atPath: "\($0)/\(name).pc") } ? name : nil
}

let system = Target.Dependency.product(name: "SystemPackage", package: "swift-system")

let package = Package(
  name: "swift-socketwrapper",
  products: [
    .library(name: "SWIO", targets: ["SWIO"]),
    .library(name: "SWFraming", targets: ["SWFraming"]),
    .library(name: "SWPickle", targets: ["SWPickle"]),
    .library(name: "SWMessaging", targets: ["SWMessaging"]),
    .library(name: "SWJSON", targets: ["SWJSON"]),
    .library(name: "SWMsgPack", targets: ["SWMsgPack"]),
    .library(name: "SWMultiprocessing", targets: ["SWMultiprocessing"]),
    .library(name: "SWTesting", targets: ["SWTesting"]),
  ],
  traits: [
    .trait(
      name: "Multiprocessing",
      description: "Authentication keys in SWMultiprocessing; the package then also needs swift-crypto.")
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-system", from: "1.6.0"),
    // Not fetched unless the trait is enabled.
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.0"),
  ],
  targets: [
    .target(name: "CSysShim"),
    // Operations on descriptors that only tests need.
    .target(name: "CSysTestSupport", path: "Tests/CSysTestSupport"),
    // Helpers for every test target: deadlines of foreign programs, and the account of what a suite leaves behind.
    .target(
      name: "TestSupport", dependencies: ["SWIO", "SWMessaging", "SWTesting"], path: "Tests/TestSupport",
      swiftSettings: settings),
    .target(name: "SWIO", dependencies: ["CSysShim", system], swiftSettings: settings),
    .target(name: "SWFraming", swiftSettings: settings),
    .target(name: "SWPickle", dependencies: ["SWCoding", "SWFraming"], swiftSettings: settings),
    // The part that the coders share: rules and options. SWPickle and SWMsgPack re-export it.
    .target(name: "SWCoding", dependencies: ["SWFraming"], exclude: ["README.md"], swiftSettings: settings),
    .target(
      name: "SWMessaging", dependencies: ["CSysShim", "SWIO", "SWFraming", system],
      swiftSettings: settings),
    .target(
      name: "SWMultiprocessing",
      dependencies: [
        "SWFraming", "SWIO", "SWMessaging", "SWPickle", system,
        .product(name: "Crypto", package: "swift-crypto", condition: .when(traits: ["Multiprocessing"])),
      ],
      swiftSettings: settings),
    // A target of its own, so that a program which uses no JSON does not link Foundation for it.
    .target(name: "SWJSON", dependencies: ["SWCoding", "SWFraming"], swiftSettings: settings),
    // msgpack-c as its versions 4 and 6 call themselves; the headers that there are decide.
    .systemLibrary(name: "CMsgPackLibrary", pkgConfig: pkgConfig(ifThere: "msgpack")),
    .systemLibrary(name: "CMsgPackLibrary6", pkgConfig: pkgConfig(ifThere: "msgpack-c")),
    .target(name: "CMsgPack", dependencies: ["CMsgPackLibrary", "CMsgPackLibrary6"]),
    .target(
      name: "SWMsgPack", dependencies: ["CMsgPack", "SWCoding", "SWFraming"], swiftSettings: settings),
    // The bytes on which a framing under test has trapped.
    .target(name: "CTrapNote"),
    .target(
      name: "SWTesting", dependencies: ["CSysShim", "CTrapNote", "SWIO", "SWFraming", "SWMessaging", system],
      swiftSettings: settings),
    .target(
      name: "SWSimulation", dependencies: ["SWIO", "SWFraming", "SWMessaging", "SWTesting", system],
      swiftSettings: settings),
    .executableTarget(name: "simulate", dependencies: ["SWSimulation"], swiftSettings: settings),
    // The passages that the guide's cookbook quotes, run.
    .testTarget(
      name: "CookbookTests",
      dependencies: ["SWJSON", "SWMessaging", "SWPickle", "SWTesting", "TestSupport", system],
      swiftSettings: settings),
    // Every feature of Codable through every family of coders.
    .testTarget(
      name: "ConformanceTests",
      dependencies: ["SWCoding", "SWFraming", "SWJSON", "SWMsgPack", "SWPickle", "TestSupport"],
      swiftSettings: settings),
    .testTarget(name: "SWCodingTests", dependencies: ["SWCoding", "TestSupport"], swiftSettings: settings),
    .testTarget(
      name: "SimulationTests", dependencies: ["SWSimulation", "SWMessaging", "SWTesting", "TestSupport"],
      swiftSettings: settings),
    .testTarget(
      name: "SWFramingTests",
      dependencies: ["SWFraming", "SWJSON", "SWMessaging", "SWTesting", "TestSupport"],
      resources: [.copy("Vectors")], swiftSettings: settings),
    .testTarget(
      name: "SWPickleTests",
      dependencies: [
        "SWPickle", "SWJSON", "SWMsgPack", "SWFraming", "SWMessaging", "SWTesting", "TestSupport", "probe",
      ],
      resources: [.copy("Vectors"), .copy("Peers")], swiftSettings: settings),
    // msgpack-c's own unpacker and packers, to compare with.
    .target(
      name: "MsgPackOracle", dependencies: ["CMsgPackLibrary", "CMsgPackLibrary6"],
      path: "Tests/MsgPackOracle"),
    .testTarget(
      name: "SWMsgPackTests",
      dependencies: [
        "SWMsgPack", "SWFraming", "SWJSON", "SWMessaging", "SWTesting", "TestSupport", "MsgPackOracle",
        "probe",
      ],
      resources: [.copy("Vectors")], swiftSettings: settings),
    // Properties that can only be seen from outside: one process for each question.
    .executableTarget(
      name: "probe",
      dependencies: [
        "CSysShim", "CSysTestSupport", "SWMessaging", "SWMsgPack", "SWPickle", "SWTesting", system,
      ],
      path: "Tests/Probe", swiftSettings: settings),
    // The snippet of that name, by a link, for a test to run: a transport around another, which checks itself.
    .executableTarget(
      name: "metered", dependencies: ["SWMessaging", "SWTesting"], path: "Tests/Metered",
      swiftSettings: settings),
    .testTarget(
      name: "SWMessagingTests",
      dependencies: [
        "CSysShim", "CSysTestSupport", "SWJSON", "SWMessaging", "SWTesting", "TestSupport", "probe",
        "metered",
        system,
      ],
      swiftSettings: settings),
    .testTarget(
      name: "SWMultiprocessingTests",
      dependencies: ["SWMultiprocessing", "SWMessaging", "SWPickle", "SWTesting", "TestSupport", system],
      resources: [.copy("Peers"), .copy("Vectors")], swiftSettings: settings),
    .testTarget(
      name: "InteropTests",
      dependencies: [
        "SWJSON", "SWMessaging", "SWMsgPack", "SWPickle", "SWTesting", "TestSupport", "probe", system,
      ],
      resources: [.copy("Peers")], swiftSettings: settings),
  ]
)

// scripts/test builds the tests that need a trait in a place of their own, and leaves out all others there.
if let name = Context.environment["SWTEST_ONLY"] {
  package.targets.removeAll { $0.type == .test && $0.name != name }
}
