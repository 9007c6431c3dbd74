"""Only TLS 1.2 and 1.3 are spoken, by each client and by the samples for proxies."""

from __future__ import annotations

import ast
import re
import ssl
from pathlib import Path
from typing import Final

from concord.adapters.imap.contexts import context_for

ROOT: Final = Path(__file__).parents[2]
# It only looks at a certificate that was refused, and sends nothing.
LOOKS_ONLY: Final = "concord/adapters/imap/check.py"


def test_every_client_begins_with_the_librarys_own_context() -> None:
    """From Python 3.10 on that speaks TLS 1.2 and newer, and verifies."""
    made = {
        (node.func.attr, str(file.relative_to(ROOT)))
        for file in (ROOT / "concord").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "ssl"
        and "context" in node.func.attr.lower()
    }

    assert {file for name, file in made if name != "create_default_context"} == {LOOKS_ONLY}
    assert len(made) > 1
    assert ssl.create_default_context().minimum_version >= ssl.TLSVersion.TLSv1_2
    assert ssl.create_default_context().verify_mode is ssl.CERT_REQUIRED


def test_mailboxes_are_read_with_tls_1_2_or_newer() -> None:
    context = context_for(None)

    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_sample_for_nginx_offers_todays_versions_and_suites() -> None:
    """Caddy offers nothing else by itself."""
    sample = (ROOT / "deploy/nginx/concord.conf").read_text(encoding="utf-8")
    suites = re.search(r"ssl_ciphers ([^;]+);", sample)

    assert "ssl_protocols TLSv1.2 TLSv1.3;" in sample
    assert suites
    assert all(
        re.fullmatch(r"ECDHE-(ECDSA|RSA)-(AES\d+-GCM-SHA\d+|CHACHA20-POLY1305)", one) for one in suites[1].split(":")
    )
