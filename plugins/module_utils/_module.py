# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The AnsibleModule of every module here: what it says, Ansible's own words among it, shows no private key."""
from __future__ import annotations

from typing import Iterator

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import keys_in, without_keys

#: Characters. A shorter line of a key is in other texts as well.
_SHORTEST = 20


class Module(AnsibleModule):
    """Wherever a key was given: in the place of a name, a list, an option of another type, or one that is refused before the module has begun."""

    def _load_params(self) -> None:
        super()._load_params()
        given = {name: value for name, value in self.params.items() if not name.startswith("_")}
        self.no_log_values.update(form for text in _texts(given) for key in keys_in(text) for form in _forms(text, key))

    def _return_formatted(self, kwargs: dict) -> None:
        super()._return_formatted(without_keys(dict({"invocation": {"module_args": self.params}}, **kwargs)))  # which Ansible would add later

    def warn(self, warning: str, **how: object) -> None:
        super().warn(without_keys(warning), **how)


def _texts(data: object) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for name, value in data.items():
            yield from _texts(name)
            yield from _texts(value)
    elif isinstance(data, (list, tuple)):
        for value in data:
            yield from _texts(value)


def _forms(text: str, key: str) -> Iterator[str]:
    """What Ansible has to mask: the whole value and the key in it, each also as it is within a list or dict that is printed, and the key's lines."""
    for whole in (text, key, text.rstrip(), key.rstrip()):
        yield whole
        yield repr(whole)[1:-1]
    for line in key.replace("\\n", "\n").splitlines():
        if len(line) >= _SHORTEST and not line.startswith("-----"):
            yield line
