"""Find the book's repository in one place, and make every link to it from there.

`ATTENTION_BOOK_REPOSITORY` names it; else it is the git remote `origin`; else the pages carry no link to a repository.
`ATTENTION_BOOK_BRANCH` names the branch; else it is the one checked out; else `main`.
`ATTENTION_BOOK_SITE` is where the site will be read; else it is where GitHub Pages publishes the repository.
"""

import os
import re
import subprocess
from pathlib import Path

# The hosts that the theme's buttons and Binder know how to link to.
HOSTS = ("github.com", "gitlab.com", "bitbucket.org")
REMOTE = re.compile(r"(?:(?:https?|ssh|git)://(?:[^@/]+@)?|[^@/]+@)(?P<host>[^/:]+)(?::\d+)?[:/](?P<path>.+)")


def git(root: Path, *arguments: str) -> str:
    """Return what git prints, or nothing where there is no git, no repository or no answer."""
    try:
        run = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return run.stdout.strip() if run.returncode == 0 else ""


def web_address(remote: str) -> str:
    """Return the https address of a git remote, or nothing if it has no page that the theme can link to.

    >>> web_address("git@github.com:reader/book.git")
    'https://github.com/reader/book'
    >>> web_address("/srv/book.git")
    ''
    """
    match = REMOTE.fullmatch(remote.strip())
    if not match or match["host"] not in HOSTS:
        return ""
    path = match["path"].strip("/").removesuffix(".git")
    return f"https://{match['host']}/{path}"


def repository(root: Path) -> str:
    """Return the address of the book's repository, or nothing."""
    return web_address(os.environ.get("ATTENTION_BOOK_REPOSITORY") or git(root, "remote", "get-url", "origin"))


def branch(root: Path) -> str:
    """Return the branch that the links name."""
    current = os.environ.get("ATTENTION_BOOK_BRANCH") or git(root, "branch", "--show-current")
    return current or "main"


def published(address: str) -> str:
    """Return where the site is read, for links that leave it: on paper, in a notebook; nothing where none knows.

    >>> published("https://github.com/reader/book")
    'https://reader.github.io/book/'
    >>> published("https://github.com/reader/reader.github.io")
    'https://reader.github.io/'
    >>> published("")
    ''
    """
    if site := os.environ.get("ATTENTION_BOOK_SITE"):
        return site.rstrip("/") + "/"
    host, _, path = address.removeprefix("https://").partition("/")
    owner, _, name = path.partition("/")
    if host != "github.com":
        return ""
    pages = f"{owner.lower()}.github.io"
    return f"https://{pages}/" if name == pages else f"https://{pages}/{name}/"


def add_links(app, config):
    """Tell pages where they will be read; give the theme its buttons, if there is a repository."""
    root = Path(app.srcdir)
    address = repository(root)
    config.html_baseurl = published(address)
    if address:
        config.html_theme_options = config.html_theme_options | {
            "repository_url": address,
            "repository_branch": branch(root),
            "path_to_docs": "",
            "use_repository_button": True,
            "use_issues_button": "bitbucket" not in address,
            # The theme's Colab would open the chapters themselves, which are no .ipynb: see notebooks.py.
            "launch_buttons": {"binderhub_url": "https://mybinder.org", "notebook_interface": "jupyterlab"},
        }


def setup(app):
    """Add the links once the configuration is read."""
    app.connect("config-inited", add_links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
