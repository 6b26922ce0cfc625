"""How long a fresh process takes to import the library, beside what it stands on.

python benchmarks/imports.py
"""

import subprocess
import sys


def import_seconds(module: str) -> float:
    """Seconds that a fresh process takes to import a module."""
    code = f"import time; start = time.perf_counter(); import {module}; print(time.perf_counter() - start)"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def main() -> None:
    for module in ("numpy", "attnlib", "torch"):
        print(f"import {module:8}{import_seconds(module) * 1e3:9.1f} ms")


if __name__ == "__main__":
    main()
