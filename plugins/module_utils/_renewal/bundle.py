# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The program for the host, made of the very modules that run now: one file that Python starts as it is (zipapp)."""
from __future__ import annotations

import io
import sys
import zipfile

_COLLECTION = "ansible_collections.mailsec.postfix_tls.plugins.module_utils"
_START = "import sys\n\nfrom %s._renewal.program import main\n\nsys.exit(main())\n" % _COLLECTION


def bundle() -> bytes:
    """The same bytes from the same modules: no date and no order of loading is in them."""
    from ansible_collections.mailsec.postfix_tls.plugins.module_utils._renewal import program  # it imports the step that calls this

    sources = {"__main__.py": _START, program.__name__.replace(".", "/") + ".py": ""}
    for name, module in sorted(sys.modules.items()):
        if name.startswith(_COLLECTION + ".") and getattr(module, "__file__", None):
            text = module.__loader__.get_source(name) or ""
            if not hasattr(module, "__path__"):
                sources["%s.py" % name.replace(".", "/")] = text
                packages = name.split(".")[:-1]
                sources.update(("/".join(packages[:depth] + ["__init__.py"]), "") for depth in range(1, len(packages) + 1))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path, text in sorted(sources.items()):
            archive.writestr(zipfile.ZipInfo(path), text)
    return b"#!%s\n" % sys.executable.encode() + content.getvalue()
