"""The order of the package's folders and files, and their picture in docs/design.md, drawn from the code's imports.

    python benchmarks/structure.py

tests/test_layers.py holds the code to this order, and the picture to the code.
"""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "digitnet"
DESIGN = ROOT / "docs" / "design.md"
BEGIN, END = "<!-- drawn by benchmarks/structure.py -->\n", "<!-- end of the drawing -->"

# From the top floor down. A file may import from its own folder and from what stands further down.
FLOORS = [
    "__main__",
    "cli",
    "outputs",
    "serving",
    "evaluation",
    "__init__",
    "archives",
    "reader",
    "onnx_cache",
    "teaching",
    "training",
    "main",
    "train",
    "loop",
    "model",
    "dataset",
    "test",
    "synthesis",
    "reading",
    "results",
    "spreadsheet",
    "interruption",
    "files",
    "errors",
    "version",
]
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def imports(module: str, *, lazy: bool = True) -> tuple[set[str], set[str]]:
    """(modules of the package, libraries) that a file imports; `lazy` counts imports inside of functions too."""
    tree = ast.parse(MODULES[module].read_text())
    lazily = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or _is_for_types(node)
        for inner in ast.walk(node)
    }
    inside, outside = set(), set()
    for node in ast.walk(tree):
        if not lazy and node in lazily:
            continue
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name.removeprefix("digitnet.") in MODULES else str(node.module) for name in whole]
        for name in names:
            if name == "digitnet":
                inside.add("__init__")
            elif name.startswith("digitnet."):
                inside.add(name.removeprefix("digitnet."))
            else:
                outside.add(name.split(".")[0])
    return inside - {module}, outside


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def floor(module: str) -> str:
    """The folder of a module, or its file at the top."""
    return module.split(".")[0]


def picture() -> str:
    """A line for each floor: its files, and the floors that it imports from."""
    rows = []
    for name in FLOORS:
        files = [module for module in MODULES if floor(module) == name]
        below = {floor(found) for module in files for found in imports(module)[0]} - {name}
        is_folder = MODULES[name].name == "__init__.py" and name != "__init__"
        rows.append((f"{name}/" if is_folder else name, " ".join(sorted(below, key=FLOORS.index))))
    width = max(len(name) for name, _ in rows) + 2
    lines = [f"{name:{width}}{below}".rstrip() for name, below in rows]
    return "\n".join(["```text", f"{'':{width}}imports from", *lines, "```", ""])


def main() -> None:
    before, _, rest = DESIGN.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    DESIGN.write_text(before + BEGIN + picture() + END + after)


if __name__ == "__main__":
    main()
