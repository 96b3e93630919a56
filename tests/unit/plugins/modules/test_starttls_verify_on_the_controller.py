# SPDX-License-Identifier: GPL-3.0-or-later
"""starttls_verify on the controller, where it needs no second Python, says what its module says on a host."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.mailsec.postfix_tls.plugins.modules import starttls_verify
from issuing import issue
from servers import Behaviour, MailServer

CHECKOUT = Path(__file__).resolve().parents[4]
ROOT = issue("root", authority=True)
LEAF = issue("mx.example.org", ROOT)


def on_the_controller(**arguments: object) -> dict:
    told = subprocess.run(
        [sys.executable, "-m", "ansible", "adhoc", "localhost", "-m", "mailsec.postfix_tls.starttls_verify", "-a", json.dumps(arguments)],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".cache"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True, text=True, check=False,
    )
    verdict, _arrow, result = told.stdout.partition("=> ")
    return dict(json.loads(result), failed="FAILED!" in verdict)


def test_a_look_that_fails_has_the_results_of_the_module(run, tmp_path: Path) -> None:
    (tmp_path / "root.pem").write_text(ROOT.pem, encoding="utf-8")
    with MailServer(Behaviour(chain=LEAF, ehlo=(b"AUTH PLAIN",))) as server:
        asked = {"targets": [{"host": "127.0.0.1", "port": server.port, "server_name": "mx.example.org"}], "ca_file": str(tmp_path / "root.pem")}
        here, there = on_the_controller(**asked), run(starttls_verify, **asked)
    assert here["failed"] and here["msg"].startswith("127.0.0.1:%d: auth_before_tls fail: AUTH PLAIN before TLS." % server.port)
    assert {key: here[key] for key in ("msg", "attempts", "results", "changed")} == {key: there[key] for key in ("msg", "attempts", "results", "changed")}


@pytest.mark.parametrize("arguments, told", [
    ({"targets": [{"host": "mx", "server_name": "a..b"}]}, "server_name = a..b: DNS can't hold that name"),
    ({"targets": [{"host": "mx"}], "floor": "TLSv1"}, "Unsupported parameters"),
    ({"targets": []}, "targets: there is none, so nothing would be looked at"),
    ({"timeout": 1}, "targets: there is none, and no Postfix on this machine"),
])
def test_wrong_arguments_give_one_clear_message_there_too(arguments: dict, told: str) -> None:
    result = on_the_controller(**arguments)
    assert result["failed"] and told in result["msg"] and "results" not in result and "Traceback" not in result["msg"]
