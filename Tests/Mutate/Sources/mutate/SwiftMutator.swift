import SwiftOperators
import SwiftParser
import SwiftSyntax

/// Puts every mutant of a Swift file into it. A mutant with the number 7 stands where `swmutant(7)` does, which is
/// true when that one is chosen. Lines stay where they are, so that the compiler's errors can be told to mutants.
final class SwiftMutator: SyntaxRewriter {
  private let file: String
  private let converter: SourceLocationConverter
  var numbering: Numbering
  /// Names of constants that are given their value later: such a statement cannot be left out.
  private var uninitialized: Set<String> = []
  /// Depth of what a change would not be noticed in, or could not compile in.
  private var silence = 0
  private var isInInitializer = false

  static func mutate(_ source: String, file: String, numbering: inout Numbering) -> String {
    let parsed = Parser.parse(source: source)
    let folded =
      OperatorTable.standardOperators.foldAll(parsed) { _ in }.as(SourceFileSyntax.self) ?? parsed
    let mutator = SwiftMutator(file, parsed, numbering)
    let changed = mutator.rewrite(folded)
    numbering = mutator.numbering
    return changed.description
  }

  private init(_ file: String, _ tree: SourceFileSyntax, _ numbering: Numbering) {
    self.file = file
    self.numbering = numbering
    converter = SourceLocationConverter(fileName: file, tree: tree)
    super.init()
  }

  // MARK: Where nothing is changed

  private func quietly<Node>(_ body: () -> Node) -> Node {
    silence += 1
    defer { silence -= 1 }
    return body()
  }

  override func visit(_ node: AttributeSyntax) -> AttributeSyntax { node }
  override func visit(_ node: AttributeListSyntax) -> AttributeListSyntax { node }
  override func visit(_ node: EnumCaseDeclSyntax) -> DeclSyntax { DeclSyntax(node) }
  override func visit(_ node: IfConfigDeclSyntax) -> DeclSyntax { DeclSyntax(node) }
  override func visit(_ node: ImportDeclSyntax) -> DeclSyntax { DeclSyntax(node) }
  override func visit(_ node: FunctionParameterSyntax) -> FunctionParameterSyntax { node }
  override func visit(_ node: ExpressionPatternSyntax) -> PatternSyntax { PatternSyntax(node) }
  override func visit(_ node: SwitchCaseItemSyntax) -> SwitchCaseItemSyntax {
    guard let clause = node.whereClause else { return node }
    return node.with(\.whereClause, visit(clause))
  }

  override func visit(_ node: FunctionDeclSyntax) -> DeclSyntax {
    // Invariants are checks of ours, and descriptions are for people.
    if ["checkInvariants"].contains(node.name.text) { return DeclSyntax(node) }
    let outer = uninitialized
    defer { uninitialized = outer }
    uninitialized.formUnion(Uninitialized.names(in: Syntax(node)))
    return super.visit(node)
  }

  override func visit(_ node: VariableDeclSyntax) -> DeclSyntax {
    for binding in node.bindings where binding.pattern.trimmedDescription == "description" {
      return DeclSyntax(node)
    }
    // The value of a stored property has to be known to the compiler in some places, and is no statement anywhere.
    if node.parent?.is(MemberBlockItemSyntax.self) ?? false,
      node.bindings.allSatisfy({ $0.accessorBlock == nil })
    {
      return quietly { super.visit(node) }
    }
    return super.visit(node)
  }

  override func visit(_ node: InitializerDeclSyntax) -> DeclSyntax {
    let (outer, names) = (isInInitializer, uninitialized)
    defer { (isInInitializer, uninitialized) = (outer, names) }
    isInInitializer = true
    uninitialized.formUnion(Uninitialized.names(in: Syntax(node)))
    return super.visit(node)
  }

  override func visit(_ node: FunctionCallExprSyntax) -> ExprSyntax {
    let name = node.calledExpression.trimmedDescription
    if ["assert", "precondition", "preconditionFailure", "fatalError", "assertionFailure"].contains(name) {
      return ExprSyntax(node)
    }
    if ["min", "max"].contains(name), node.arguments.count == 2, !isSilent {
      let other = name == "min" ? "max" : "min"
      guard let id = number(node, "\(name) becomes \(other)") else { return ExprSyntax(node) }
      let whole = node.trimmedDescription
      let changed = other + whole.dropFirst(3)
      return replaced(node, by: "(swmutant(\(id)) ? \(changed) : \(whole))")
    }
    return super.visit(node)
  }

  private var isSilent: Bool { silence > 0 }

  // MARK: Expressions

  override func visit(_ node: BooleanLiteralExprSyntax) -> ExprSyntax {
    guard !isSilent, !(node.parent?.parent?.parent?.is(WhileStmtSyntax.self) ?? false),
      let id = number(node, "\(node.literal.text) is negated")
    else { return ExprSyntax(node) }
    return replaced(node, by: "(\(node.literal.text) != swmutant(\(id)))")
  }

  override func visit(_ node: IntegerLiteralExprSyntax) -> ExprSyntax {
    guard !isSilent, let id = number(node, "\(node.literal.text) becomes one more") else {
      return ExprSyntax(node)
    }
    return replaced(node, by: "(\(node.literal.text) + (swmutant(\(id)) ? 1 : 0))")
  }

  private static let bounds = ["<": "<=", "<=": "<", ">": ">=", ">=": ">"]

  override func visit(_ node: InfixOperatorExprSyntax) -> ExprSyntax {
    guard !isSilent, let op = node.operator.as(BinaryOperatorExprSyntax.self)?.operator.text else {
      return super.visit(node)
    }
    let (left, right) = (node.leftOperand.trimmedDescription, node.rightOperand.trimmedDescription)
    if let other = Self.bounds[op] {
      guard let id = number(node, "\(op) becomes \(other)") else { return ExprSyntax(node) }
      return replaced(
        node, by: "(swmutant(\(id)) ? \(oneLine(left)) \(other) \(oneLine(right)) : \(left) \(op) \(right))")
    }
    switch op {
    case "&&", "||":
      let ids = (
        number(node.leftOperand, "operand of \(op) is left out"),
        number(node.rightOperand, "operand of \(op) is left out")
      )
      let (newLeft, newRight) = (
        visit(node.leftOperand).trimmedDescription, visit(node.rightOperand).trimmedDescription
      )
      func without(_ operand: String, _ id: Int?) -> String {
        guard let id else { return operand }
        return op == "&&" ? "((\(operand)) || swmutant(\(id)))" : "((\(operand)) && !swmutant(\(id)))"
      }
      let between = spacing(node)
      return replaced(node, by: without(newLeft, ids.0) + between + without(newRight, ids.1))
    case "==", "!=", "===", "!==":
      // As a whole condition it is negated there.
      if node.parent?.is(ConditionElementSyntax.self) ?? false { return ExprSyntax(node) }
      guard let id = number(node, "\(op) is negated") else { return ExprSyntax(node) }
      return replaced(node, by: "((\(node.trimmedDescription)) != swmutant(\(id)))")
    case "+", "-":
      let other = op == "+" ? "-" : "+"
      guard let id = number(node, "\(op) becomes \(other)") else { return ExprSyntax(node) }
      return replaced(
        node, by: "(swmutant(\(id)) ? \(oneLine(left)) \(other) \(oneLine(right)) : \(left) \(op) \(right))")
    default: return super.visit(node)
    }
  }

  /// An operator with the line breaks and comments around it.
  private func spacing(_ node: InfixOperatorExprSyntax) -> String {
    let before = node.leftOperand.trailingTrivia.description
    let after = node.rightOperand.leadingTrivia.description
    return (before.isEmpty && node.operator.leadingTrivia.isEmpty ? " " : before)
      + node.operator.description + after
  }

  override func visit(_ node: PrefixOperatorExprSyntax) -> ExprSyntax {
    guard !isSilent, node.operator.text == "!", !(node.parent?.is(ConditionElementSyntax.self) ?? false),
      let id = number(node, "! is left out")
    else { return super.visit(node) }
    let inner = super.visit(node)
    return replaced(node, by: "((\(inner.trimmedDescription)) != swmutant(\(id)))")
  }

  override func visit(_ node: ConditionElementSyntax) -> ConditionElementSyntax {
    guard !isSilent, case .expression(let condition) = node.condition,
      !(node.parent?.parent?.is(WhileStmtSyntax.self) ?? false)
    else { return super.visit(node) }
    guard let id = number(condition, "condition is negated") else { return super.visit(node) }
    let inner = visit(condition)
    return node.with(
      \.condition,
      .expression(replaced(condition, by: "((\(inner.trimmedDescription)) != swmutant(\(id)))")))
  }

  // MARK: Statements

  override func visit(_ node: CodeBlockItemListSyntax) -> CodeBlockItemListSyntax {
    let items = Array(node)
    // Alone in a body it may be what that returns.
    let mayBeValue = items.count == 1 && isValuePosition(node)
    var result: [CodeBlockItemSyntax] = []
    var index = 0
    while index < items.count {
      let item = items[index]
      if !isSilent, index + 1 < items.count, isMovable(item), isMovable(items[index + 1]),
        isCall(item) || isCall(items[index + 1])
      {
        // Also if this mutant is left out, the two are one step: the numbers behind them stay.
        let id = number(item, "changes places with the next statement")
        let (first, second) = (changed(item, false), changed(items[index + 1], false))
        if let id {
          let swapped =
            "if swmutant(\(id)) { \(oneLine(items[index + 1])); \(oneLine(item)) } else { "
            + first.trimmedDescription + (between(item, items[index + 1])) + second.trimmedDescription + " }"
          result.append(
            statement(swapped, leading: item.leadingTrivia, trailing: items[index + 1].trailingTrivia))
        } else {
          result += [first, second]
        }
        index += 2
        continue
      }
      result.append(changed(item, mayBeValue))
      index += 1
    }
    return CodeBlockItemListSyntax(result)
  }

  private func between(_ first: CodeBlockItemSyntax, _ second: CodeBlockItemSyntax) -> String {
    first.trailingTrivia.description + (first.semicolon?.description ?? "")
      + second.leadingTrivia.description
  }

  private func oneLine(_ item: CodeBlockItemSyntax) -> String { oneLine(item.item.trimmedDescription) }

  private func oneLine(_ text: String) -> String {
    // Comments would end at the end of the line only.
    text.split(separator: "\n").map { line in
      line.firstRange(of: "//").map { String(line[..<$0.lowerBound]) } ?? String(line)
    }.joined(separator: " ")
  }

  private func changed(_ item: CodeBlockItemSyntax, _ mayBeValue: Bool) -> CodeBlockItemSyntax {
    guard !isSilent, !mayBeValue, isRemovable(item), let id = number(item, "is left out") else {
      return super.visit(item)
    }
    let inner = super.visit(item)
    return statement(
      "if !swmutant(\(id)) { \(inner.item.trimmedDescription) }", leading: item.leadingTrivia,
      trailing: item.trailingTrivia)
  }

  private func isCall(_ item: CodeBlockItemSyntax) -> Bool {
    item.item.as(ExprSyntax.self).map { core(of: $0).is(FunctionCallExprSyntax.self) } ?? false
  }

  /// `try`, `await` and `unsafe` around an expression do not matter.
  private func core(of expression: ExprSyntax) -> ExprSyntax {
    if let inner = expression.as(TryExprSyntax.self) { return core(of: inner.expression) }
    if let inner = expression.as(AwaitExprSyntax.self) { return core(of: inner.expression) }
    if let inner = expression.as(UnsafeExprSyntax.self) { return core(of: inner.expression) }
    return expression
  }

  private func isMovable(_ item: CodeBlockItemSyntax) -> Bool {
    isRemovable(item) && !item.description.contains("\"\"\"") && !item.description.contains("#if")
  }

  private func isRemovable(_ item: CodeBlockItemSyntax) -> Bool {
    guard let expression = item.item.as(ExprSyntax.self) else { return false }
    let core = core(of: expression)
    if let call = core.as(FunctionCallExprSyntax.self) {
      let name = call.calledExpression.trimmedDescription
      return ![
        "assert", "precondition", "preconditionFailure", "fatalError", "assertionFailure", "super.init",
        "self.init", "withExtendedLifetime",
      ].contains(name)
    }
    guard let infix = core.as(InfixOperatorExprSyntax.self) else { return false }
    let isAssignment =
      infix.operator.is(AssignmentExprSyntax.self)
      || (infix.operator.as(BinaryOperatorExprSyntax.self)?.operator.text).map {
        ["+=", "-=", "&+=", "&-=", "|=", "&=", "*=", "<<=", ">>="].contains($0)
      } ?? false
    guard isAssignment, !isInInitializer else { return false }
    return !uninitialized.contains(infix.leftOperand.trimmedDescription)
  }

  /// Whether the value of a single expression is that of the body.
  private func isValuePosition(_ node: CodeBlockItemListSyntax) -> Bool {
    guard let parent = node.parent else { return false }
    if parent.is(ClosureExprSyntax.self) { return true }
    if let block = parent.as(AccessorBlockSyntax.self) { return block.parent != nil }
    if let accessor = parent.parent?.as(AccessorDeclSyntax.self) {
      return accessor.accessorSpecifier.text == "get"
    }
    if let function = parent.parent?.as(FunctionDeclSyntax.self) {
      return function.signature.returnClause != nil
    }
    if parent.is(SwitchCaseSyntax.self) || parent.parent?.is(IfExprSyntax.self) ?? false {
      return isExpressionBranch(parent)
    }
    return false
  }

  /// Whether an `if` or a `switch` stands where a value is wanted.
  private func isExpressionBranch(_ node: Syntax) -> Bool {
    var current: Syntax? = node
    while let here = current {
      if here.is(IfExprSyntax.self) || here.is(SwitchExprSyntax.self) {
        guard let outer = here.parent else { return false }
        if outer.is(IfExprSyntax.self) {
          current = outer
          continue
        }
        if outer.is(ExpressionStmtSyntax.self) || outer.is(CodeBlockItemSyntax.self) {
          var list: Syntax? = outer
          while let here = list, !here.is(CodeBlockItemListSyntax.self) { list = here.parent }
          guard let list = list?.as(CodeBlockItemListSyntax.self) else { return false }
          return list.count == 1 && isValuePosition(list)
        }
        return true
      }
      if here.is(CodeBlockItemListSyntax.self), here != node, current != node { return false }
      current = here.parent
    }
    return false
  }

  // MARK: Making code

  private func number(_ node: some SyntaxProtocol, _ change: String) -> Int? {
    let line = converter.location(for: node.positionAfterSkippingLeadingTrivia).line
    return numbering.number(file, line, in: scope(of: Syntax(node), line), change, node.trimmedDescription)
  }

  /// The lines of the member, or of the function outside types, that a node is in.
  private func scope(of node: Syntax, _ line: Int) -> ClosedRange<Int> {
    var current = node
    while let parent = current.parent {
      let isOutside =
        parent.is(CodeBlockItemSyntax.self) && parent.parent?.parent?.is(SourceFileSyntax.self) ?? false
      if isOutside || parent.is(MemberBlockItemSyntax.self) {
        let first = converter.location(for: current.positionAfterSkippingLeadingTrivia).line
        return first...converter.location(for: current.endPositionBeforeTrailingTrivia).line
      }
      current = parent
    }
    return line...line
  }

  private func replaced(_ node: some SyntaxProtocol, by text: String) -> ExprSyntax {
    // Parsed elsewhere, what is printed is the same: as one token.
    let expression = ExprSyntax(
      DeclReferenceExprSyntax(baseName: .identifier(text)))
    return expression.with(\.leadingTrivia, node.leadingTrivia).with(\.trailingTrivia, node.trailingTrivia)
  }

  private func statement(_ text: String, leading: Trivia, trailing: Trivia) -> CodeBlockItemSyntax {
    CodeBlockItemSyntax(
      leadingTrivia: leading,
      item: .expr(ExprSyntax(DeclReferenceExprSyntax(baseName: .identifier(text)))),
      trailingTrivia: trailing)
  }
}

/// The names that a body declares without a value.
private final class Uninitialized: SyntaxVisitor {
  private var names: Set<String> = []

  static func names(in node: Syntax) -> Set<String> {
    let visitor = Uninitialized(viewMode: .sourceAccurate)
    visitor.walk(node)
    return visitor.names
  }

  override func visit(_ node: PatternBindingSyntax) -> SyntaxVisitorContinueKind {
    if node.initializer == nil, node.accessorBlock == nil { names.insert(node.pattern.trimmedDescription) }
    return .visitChildren
  }
}
