// swift-tools-version: 6.2

import PackageDescription

// Separate from the benchmarks, because counting needs none of the peers, and cloning and building all of them would take
// minutes for every change.

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
  name: "Counts",
  dependencies: [.package(name: "swift-socketwrapper", path: "../..")],
  targets: [
    .target(name: "CCounts"),
    .executableTarget(
      name: "swcounts",
      dependencies: [
        "CCounts",
        .product(name: "SWMessaging", package: "swift-socketwrapper"),
        .product(name: "SWPickle", package: "swift-socketwrapper"),
        .product(name: "SWMsgPack", package: "swift-socketwrapper"),
        .product(name: "SWJSON", package: "swift-socketwrapper"),
      ],
      swiftSettings: settings),
  ]
)
