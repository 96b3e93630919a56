# SPDX-License-Identifier: GPL-3.0-or-later
"""What all unit tests need."""
from __future__ import annotations

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._transaction import files


@pytest.fixture(autouse=True)
def _own_folders(tmp_path_factory, monkeypatch) -> None:
    """Temporary directories lie below one that everybody can write to: folders are looked at from these downwards."""
    monkeypatch.setattr(files, "TOP", str(tmp_path_factory.getbasetemp()))
