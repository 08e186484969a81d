// swift-tools-version: 6.2

import PackageDescription

// Apart from the benchmarks, too: counting needs none of the peers, and the clone and build of all of them
// would cost every change minutes.

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
      ],
      swiftSettings: settings),
  ]
)
