"""Compile a zip of modules for CPython in the browser: run by that CPython itself, for each version has its own code.

It needs the standard library alone, so that nothing is installed there. What is only for people to read is left out:
docstrings are empty, since some modules edit theirs, and a line of a traceback is the line where its function begins.
Both halve what a reader has to fetch; bytecode is three times as quick to load as what it was compiled from.
"""

import ast
import importlib.util
import marshal
import zipfile
from types import CodeType

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def compiled(source: bytes | str, name: str) -> CodeType:
    """Return a module's code without its docstrings.

    >>> compiled("def f():\\n    'What it does.'", "m.py").co_consts[0].co_consts[0]
    ''
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False):
            node.body[0].value.value = ""
    return compile(tree, name, "exec", dont_inherit=True)


def without_lines(code: CodeType) -> CodeType:
    """Return a module's code that knows of each function's lines the first alone.

    A location is a byte, 0xE8 and how many instructions it covers less one, at most 7, and a byte for how many lines
    after the one before it is (Objects/locations.md in CPython's source).

    >>> code = without_lines(compile("x = 1\\n\\ny = 1 / 0", "m.py", "exec"))
    >>> {line for _, _, line in code.co_lines()}
    {1}
    """
    eights, rest = divmod(len(code.co_code) // 2, 8)
    lines = b"\xef\0" * eights + (bytes([0xE7 + rest, 0]) if rest else b"")
    inner = (without_lines(part) if isinstance(part, CodeType) else part for part in code.co_consts)
    return code.replace(co_linetable=lines, co_consts=tuple(inner))


def compile_archive(source: str, target: str) -> None:
    """Write a zip with the compiled modules of another, not compressed: the whole will be."""
    with zipfile.ZipFile(source) as modules, zipfile.ZipFile(target, "w") as archive:
        for name in modules.namelist():
            if name.endswith(".py"):
                code = without_lines(compiled(modules.read(name), name))
                header = importlib.util.MAGIC_NUMBER + bytes(12)  # no source that it could be older than
                archive.writestr(zipfile.ZipInfo(f"{name}c"), header + marshal.dumps(code))
