# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What certbot keeps of a certificate, which it calls a lineage: C(live/NAME/) and C(renewal/NAME.conf)."""
from __future__ import annotations

import os
import re
from dataclasses import dataclass

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._chain import pem, source, strength

FOLDER = "/etc/letsencrypt"
#: Of a certificate's time. Let's Encrypt advises to renew when a third of it is left; certbot's timer does so, or 30 days before the end.
_LEAST_LEFT = 1 / 3


@dataclass(frozen=True)
class Wanted:
    """name: certbot's for it. names: those it is to cover. settings: what renewals go by, {name in C(renewalparams): value}.

    days: how many more it is to be valid, as far as it is issued for so long.
    """

    name: str
    key_type: str
    names: tuple
    settings: dict
    days: int = 0


class Lineage:
    def __init__(self, name: str) -> None:
        self.name = name
        self.key_file, self.certificate_file = (os.path.join(FOLDER, "live", name, file) for file in ("privkey.pem", "fullchain.pem"))
        self._renewal = os.path.join(FOLDER, "renewal", "%s.conf" % name)

    @property
    def there(self) -> bool:
        return os.path.lexists(self.certificate_file) and os.path.lexists(self.key_file)

    def facts(self) -> dict:
        """What the certificate says of itself; empty where there is none. Raises PostfixTlsError where it can't be read."""
        if not self.there:
            return {}
        key, certificate = (source.text("certificate %s" % self.name, path) for path in (self.key_file, self.certificate_file))
        return pem.chain(self.name, key, certificate).facts()[0]

    def names(self) -> list:
        """Those it covers, in lower case; none where there is no certificate. Raises PostfixTlsError where it can't be read."""
        return sorted(name.partition(":")[2].lower() for name in self.facts().get("names", ()))

    def settings(self) -> dict:
        """C(renewalparams), without what stands in sections within. Source: ConfigObj."""
        try:
            with open(self._renewal, encoding="utf-8", errors="replace") as file:
                lines = file.read().partition("[renewalparams]")[2].partition("[[")[0].splitlines()
        except OSError:
            return {}
        return dict(map(str.strip, line.split("=", 1)) for line in lines if "=" in line and not line.lstrip().startswith("#"))

    def differing(self, wanted: Wanted) -> list:
        """Names of the settings that renewals do not go by yet."""
        kept = self.settings()
        return sorted(name for name, value in wanted.settings.items() if _plain(kept.get(name, _UNSAID.get(name, ""))) != _plain(value))

    def short(self, wanted: Wanted) -> bool:
        """Whether it ends sooner than is wanted, and another would not."""
        facts = self.facts()
        return bool(facts) and facts["days_left"] < wanted.days and not strength.out_of_reach(facts, wanted.days)

    def lacks(self, wanted: Wanted) -> str:
        """Why it has to be obtained, or obtained again; empty where it is as wanted. Raises PostfixTlsError where it can't be read."""
        facts = self.facts()
        if not facts:
            return "there is none yet"
        if self.names() != sorted({name.lower() for name in wanted.names}):
            return "it is made out to %s" % ", ".join(self.names())
        if strength.share_left(facts) < _LEAST_LEFT or self.short(wanted):
            return "it ends on %s" % facts["not_after"]
        if differing := self.differing(wanted):
            return "it was obtained, and is renewed, with another %s" % ", ".join(differing)
        return ""


#: What a setting is where certbot has not written it down.
_UNSAID = {"http01_port": "80", "reuse_key": "False"}


def _plain(value: str) -> str:
    """Without ConfigObj's quotes, the comma of its lists, and slashes at the end."""
    return re.sub(r"[\s\"',]", "", value).rstrip("/")
