// swift-tools-version: 6.3

import PackageDescription

let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6), .treatAllWarnings(as: .error),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

// A package of its own, which enables the trait: it fetches swift-crypto, and other users of the library do not.
let package = Package(
  name: "Managers",
  dependencies: [
    .package(name: "swift-socketwrapper", path: "../..", traits: ["Multiprocessing"])
  ],
  targets: [
    .executableTarget(
      name: "demo", dependencies: [.product(name: "SWMultiprocessing", package: "swift-socketwrapper")],
      swiftSettings: settings)
  ]
)
