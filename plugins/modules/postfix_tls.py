#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: postfix_tls
author:
  - mailsec.postfix_tls maintainers (@mailsec)
short_description: Change the TLS configuration of Postfix as one transaction
description:
  - Carries a whole change of Postfix's TLS configuration to the host in one execution. Either all of it holds, proven by
    real handshakes, or nothing has changed.
  - The change is planned first. Every value is judged against the Postfix on this host, rendered for its release and compared
    with what is there. What check mode and diff mode show is the very plan that a real run carries out.
  - Then the state before is kept, the files are written (each in one step), C(postfix check) and C(postmap -q) look at them,
    Postfix is restarted or reloaded, and every listener is probed. When any of it fails, the old files are put back, made
    live and proven again, and the module fails with the cause.
  - An unchanged host is not restarted, and is proven all the same. A run that was killed leaves the kept state behind, and
    the next run starts from it. What the killed run wrote is undone, and what is asked for now is done.
  - Nothing that the module was not asked for is touched. Comments, order and other parameters in C(main.cf) stay byte for byte.
extends_documentation_fragment:
  - mailsec.postfix_tls.attributes
attributes:
  check_mode:
    support: full
    details: Returns exactly the diff of files that a real run makes. Nothing is written, restarted or probed.
  diff_mode:
    support: full
    details:
      - Of files that hold keys, only the digest of the certificate is shown. A real run also shows what peers saw at each listener
        before the change, and what they see now.
  idempotent:
    support: full
  platform:
    platforms: posix
    support: full
options:
  state:
    description:
      - V(present) carries out the options below.
      - V(restored) returns to the state before the last committed change. It is a transaction like any other; a second V(restored) in a row changes nothing.
      - What the change wrote is undone, and what others have written since then stays - in C(main.cf) by parameter, in C(master.cf) by service and override, of
        other files the whole. Where nobody has, files are byte for byte as they were. See O(conflicts) for where both wrote on one line.
      - What all instances share for renewals stays as long as one of them needs it.
      - After a run that was killed midway, V(restored) undoes what that one wrote, and the generations before stay.
      - V(listed) changes nothing and returns the changes that can be undone, in RV(generations).
      - V(forgotten) drops kept states for good, which hold keys - those from the newest on that holds a key which is not in use any more, or
        from O(transaction) on, and all before. What is dropped can't be returned to.
    type: str
    choices: [present, restored, listed, forgotten]
    default: present
  transaction:
    description:
      - The id of a change, as a run of it returned in RV(transaction) and V(listed) returns in RV(generations).
      - With O(state=restored), returns to the state before this change, and so undoes those after it too. Where it is not kept, nothing is changed, and
        RV(findings) says which are.
      - With O(state=forgotten), the newest change of which the state before is dropped.
    type: str
  conflicts:
    description:
      - What O(state=restored) does where others have written since the change on a line that the change wrote too, or in another file that it wrote.
      - With V(refuse) it names them and changes nothing. With V(ours) what was there before the change is put back all the same.
    type: str
    choices: [refuse, ours]
    default: refuse
  config_directory:
    description:
      - The Postfix instance, by the directory of its C(main.cf).
      - Nobody but root may write to it, nor to any directory above it, nor to another that files are to be written in.
    type: path
    default: /etc/postfix
  chains:
    description:
      - Keys and certificate chains for the receiving side. Each is proven (key, order, issuer, validity, names) in a handshake
        in memory, then written as one file with mode 0600 and named in C(smtpd_tls_chain_files). The older parameters for
        certificate and key files are removed, since Postfix would ignore them.
      - Without chains, the one that C(main.cf) already names is proven and used.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the chain; its file is called so, with C(.pem) added.
        type: str
        default: default
      key:
        description: The private key in PEM, without passphrase.
        type: str
      key_file:
        description: A file on this host that holds the private key.
        type: path
      certificate:
        description:
          - The chain in PEM, leaf first, then the intermediates.
          - What stands in another order is put right, and what peers do not need is left out, such as the root; RV(findings) says so.
        type: str
      certificate_file:
        description: A file on this host that holds the chain.
        type: path
      self_signed:
        description:
          - Has a certificate made here that only vouches for itself, for the names that chains have to cover. It is made only where it may be
            served (O(self_signed=allow)); it is kept while it covers the names and is valid, and made anew with the same key.
        type: bool
      keep_root:
        description: Sends the root too, where it is in the chain. A TLSA record of usage 2 that names the root needs that (RFC 7671).
        type: bool
        default: false
      directory:
        description: Where to write the chain file. The default is C(tls) within O(config_directory).
        type: path
  sni:
    description:
      - Keys and chains for names of their own, which clients ask for by SNI, in a table for C(tls_server_sni_maps). Each is proven as O(chains) are,
        under its names. Whoever asks for no name, or for another, is served O(chains).
      - The table names the files and holds no copy of a key. Postfix reads it, and the files, when a process starts; after a renewal, a reload is enough.
      - Tables that the parameter has already come after this one. V([]) takes the table away. What they serve is looked at on the wire, the first ten
        names of them; what is wrong there and was so before is told in RV(findings), and so is what is not looked at.
    type: list
    elements: dict
    suboptions:
      names:
        description: The names, such as V(mx.example.org), or V(.example.org) for all names below it.
        type: list
        elements: str
        required: true
      chains:
        description: The chains for them, one for each kind of key.
        type: list
        elements: dict
        required: true
        suboptions:
          name:
            description: Name of the chain; its file is called so, with C(.pem) added. The default is the first of O(sni[].names).
            type: str
          key:
            description: As O(chains[].key).
            type: str
          key_file:
            description: As O(chains[].key_file).
            type: path
          certificate:
            description: As O(chains[].certificate).
            type: str
          certificate_file:
            description: As O(chains[].certificate_file).
            type: path
          self_signed:
            description: As O(chains[].self_signed).
            type: bool
          keep_root:
            description: As O(chains[].keep_root).
            type: bool
            default: false
          directory:
            description: As O(chains[].directory).
            type: path
  renewal:
    description:
      - Whether a program on the host serves renewed certificates without Ansible. It reads the files that O(chains) and O(sni) name by O(chains[].key_file)
        and O(chains[].certificate_file), proves them as this module does, writes the chain files, reloads Postfix, and proves on the wire that
        every listener serves the new leaf. When any of it fails, the old files are put back and the mail log says why.
      - C(/usr/local/sbin/postfix-tls-renew) is started by systemd when one of the files is written or a link on the way to it is swapped, and daily; where
        there is no systemd, daily by C(/etc/cron.daily); and by certbot after each renewal, where files are certbot's.
      - It needs C(/usr/bin/python3) or C(/usr/libexec/platform-python) of 3.9 or newer, and nothing else. Where neither is, it is started by the Python that
        this module runs with, which is then told; one that others than root can change is refused.
      - A renewed chain that ends sooner than O(verify.min_days_left) asks for is served, because the one before ends sooner still, and the log tells it.
      - What stands in the way of a renewal to come is told in RV(findings) - a file named by its version (certbot's C(archive)), a certificate that should
        have been renewed by now, an account or lineage that certbot no longer has, a lineage that nobody serves, a program that failed.
      - V(false) removes it; without a value it is left as it is. A renewal is nothing that O(state=restored) returns from.
    type: bool
  parameters:
    description:
      - Parameters of C(main.cf) by their name in postconf(5). YAML booleans become C(yes) and C(no), lists are joined with commas,
        V(null) removes the parameter.
      - Protocol lists are written for the release, for C(>=TLSv1.2) is only understood by Postfix 3.6 and later.
      - A value that already means the same is left as it is written. What refers by C($name) to a parameter that goes keeps the value it had.
      - A combination with which Postfix sends or receives nothing, such as C(smtp_tls_wrappermode=yes) below level V(encrypt) or level V(dane) without
        C(smtp_dns_support_level=dnssec), is refused; what was so before and is not asked for is told.
      - What Postfix would take without a word and not mean is refused - a level of the other side, a protocol, cipher, group or
        parameter that does not exist, a file that is not there, a certificate before its key - with the name that was probably meant.
      - An obsolete name is written by today's, and RV(findings) says so; C(smtpd_use_tls=yes) becomes C(smtpd_tls_security_level=may).
        With a security level, the obsolete parameters of that daemon go from C(main.cf); what only had a new name keeps its value.
    type: dict
    default: {}
  defaults:
    description:
      - Parameters of C(main.cf), as in O(parameters), that are wanted where nobody wrote anything. What C(main.cf) has already stays when it asks for as
        much or more - a level of either side, a protocol list, a grade, a switch - and of exclusions both are kept. Level V(dane) is above V(may) alone,
        for without TLSA records it is V(may).
      - What O(parameters) says wins over it, and what becomes weaker by that is told in RV(findings).
    type: dict
    default: {}
  services:
    description:
      - Overrides (C(-o)) of single services in C(master.cf), by the service's name and type, then as in O(parameters).
      - A service has to be there; none is made or switched on. Everything else of C(master.cf) stays byte for byte.
      - Where another override leaves less than O(parameters) asks for, RV(findings) names it.
    type: dict
    default: {}
  profiles:
    description:
      - A guideline that says what O(parameters) leaves open, written for this host's release - protocol versions, cipher grade and exclusions,
        groups, order, and in a file of its own for C(tls_config_file) what only OpenSSL can say, such as no SHA-1 in handshake signatures.
      - V(default) is V(opportunistic) where TLS is optional, for whoever is refused there delivers in plaintext, and V(intermediate) where it is mandatory.
        It is as in O(defaults) - what is in place and asks for more stays. Any other name holds for all levels, and takes the place of what is there.
      - RV(findings) names versions and suites with which peers could agree before and can't any more.
      - What O(parameters) says itself wins. M(mailsec.postfix_tls.starttls_verify) has profiles of the same names, to judge by.
    type: dict
    suboptions:
      smtpd:
        description: The profile for receiving. Groups, order and C(tls_config_file) are Postfix's for both sides, and follow this one.
        type: str
        choices: [default, opportunistic, interop, intermediate, modern, ncsc_2025, bsi_tr02102, rfc9325]
      smtp:
        description:
          - The profile for sending. Ciphers are restricted only where TLS is mandatory, for where it is not, the message would go
            in the clear instead.
        type: str
        choices: [default, opportunistic, interop, intermediate, modern, ncsc_2025, bsi_tr02102, rfc9325]
  unsupported:
    description:
      - What to do with a parameter or value that is right, but that the Postfix or OpenSSL of this host lacks. With V(skip) it is left
        out and RV(findings) says so, for fleets of several releases.
    type: str
    choices: [refuse, skip]
    default: refuse
  policy:
    description:
      - Named destinations, written to a table of their own that is placed first in C(smtp_tls_policy_maps). Every entry is judged before anything is
        written; what Postfix would take and not mean is refused, and what would not hold is told in RV(findings), with the line to write.
      - The table is a C(texthash). From 10,001 entries on it is C(lmdb) where the host has that, else the host's C(default_database_type); its index is made
        aside and put in place as a whole.
      - With an entry at V(encrypt) or above, C(tls_required_enable) (Postfix 3.10) becomes C(no), unless O(parameters) has it. Else the header
        C(TLS-Required) with the value C(No) in a message (RFC 8689) has it delivered in the clear, whatever the entry says.
      - A table of files behind it that Postfix can't open is refused, for mail that no entry is for would wait.
    type: dict
    suboptions:
      path:
        description: The table's file. The default is C(tls_policy) within O(config_directory).
        type: path
      maps:
        description:
          - Tables to ask where this one has no entry, in this order, such as the C(socketmap) of a daemon for MTA-STS. V([]) leaves none.
          - Without it, the tables that the parameter has already come after this one.
        type: list
        elements: str
      destinations:
        description: The entries. An empty list removes table and reference.
        type: list
        elements: dict
        required: true
        suboptions:
          destination:
            description:
              - Where the mail goes, in the form Postfix looks it up. V(example.org) for mail to that domain, V(.example.org)
                for its subdomains, V([relay.example.org]) or V([relay.example.org]:587) where C(relayhost) or
                C(transport_maps) say so, in the very words they use.
              - An internationalised domain is written in both its forms where C(smtputf8_enable) is on, for Postfix converts neither.
            type: str
            required: true
          level:
            description: The level for this destination.
            type: str
            choices: [none, may, encrypt, dane, dane-only, fingerprint, verify, secure]
            default: encrypt
          match:
            description:
              - Names of which the certificate has to show one (V(verify), V(secure)), such as V(mx.example.org), or V(.example.org) for any name below it.
                V(nexthop), V(dot-nexthop) and V(hostname) mean what postconf(5) says of C(smtp_tls_secure_cert_match).
            type: list
            elements: str
          fingerprints:
            description: Digests of certificates or public keys of which the server has to show one (V(fingerprint)), by C(smtp_tls_fingerprint_digest).
            type: list
            elements: str
          protocols:
            description: Protocol versions for this destination, for example V(>=TLSv1.2).
            type: str
          ciphers:
            description: Lowest cipher grade for this destination.
            type: str
            choices: [high, medium, low, export, "null"]
          exclude:
            description: Ciphers to exclude for this destination.
            type: list
            elements: str
          tafile:
            description:
              - The CAs, or public keys, that alone are trusted for this destination (V(verify), V(secure)), in PEM, or an absolute path of a
                file of such on this host.
              - It is copied to C(tls_trust) within O(config_directory), and to the same place in the chroot of SMTP clients that have one.
            type: str
          servername:
            description: The name to ask for by SNI.
            type: str
          connection_reuse:
            description: Whether several messages may go over one connection with TLS.
            type: bool
          enable_rpk:
            description: Whether the server may show a raw public key in place of a certificate. Since Postfix 3.9.
            type: bool
  required:
    description:
      - Who must use TLS to deliver here. Everybody else is asked for nothing more than before.
      - Each of the tables is asked at the head of C(smtpd_sender_restrictions), with C(reject_plaintext_session), which permits nobody - what stands
        behind it is asked as ever, and stays byte for byte. That list is asked once it is known whether the session is encrypted, whatever
        C(smtpd_delay_reject) is.
      - In the clear they are refused with C(450 4.7.1), which is for a while, so that a fault of TLS, or somebody who strips C(STARTTLS), costs time
        and no message. The code is C(plaintext_reject_code), for all of this Postfix, and no other is set here; with C(530) in O(parameters) the
        message is returned to its sender at once.
      - It is refused where port 25 offers no TLS. A service that has a list of its own by C(-o) and takes mail in the clear is named in RV(findings).
    type: dict
    suboptions:
      clients:
        description:
          - Addresses (V(192.0.2.1), V(2001:db8::1)), networks (V(192.0.2.0/24)), hosts (V(mail.example.org)), or with a dot all hosts below a
            name (V(.example.org)).
          - A host is known by the name that its address has in DNS and that leads back to the address. Where that look-up fails, the client has no name
            and may deliver in the clear; addresses and networks are the surer form.
          - V([]) takes them away; without a value they are left as they are.
        type: list
        elements: str
      senders:
        description:
          - Domains of envelope senders (V(example.org)), with a dot all domains below one (V(.example.org)), or single senders (V(user@example.org)),
            from whatever client. A bounce has no sender, and is not asked.
          - V([]) takes them away; without a value they are left as they are.
        type: list
        elements: str
  self_signed:
    description:
      - What to do with a self-signed certificate, or none. With V(sending_only) the receiving side is switched off, and
        RV(findings) says why. V(allow) is for private networks where peers know the certificate.
    type: str
    choices: [sending_only, allow]
    default: sending_only
  public_encrypt:
    description:
      - Whether C(smtpd_tls_security_level=encrypt) may stand in C(main.cf) while port 25 is public. RFC 3207 forbids it, and
        whoever sends in the clear could no longer reach this server.
    type: str
    choices: [refuse, allow]
    default: refuse
  action:
    description:
      - How a change is made live. V(restart) is the default. V(reload) is enough for certificates and TLS parameters, not
        for a changed CA store in Debian's chroot.
      - With V(none) the files are written and checked but not made live, and nothing is proven on the wire.
    type: str
    choices: [restart, reload, none]
    default: restart
  start_stopped:
    description:
      - Whether a Postfix that does not run is started. By default it stays stopped, as somebody stopped it; a change is written and checked,
        but not proven on the wire, and RV(findings) says so. One that a killed run left stopped is started all the same.
    type: bool
    default: false
  verify:
    description: How chains and listeners are proven.
    type: dict
    suboptions:
      names:
        description: Names the certificates have to cover. The default is C(myhostname).
        type: list
        elements: str
      ca_file:
        description: File on this host with the roots to trust. The default is the system's store.
        type: path
      min_days_left:
        description: How many days more every certificate has to be valid, the intermediates included. A chain that ends sooner is refused.
        type: int
        default: 0
      timeout:
        description: Seconds for the whole dialogue with one listener.
        type: float
        default: 10.0
      start_timeout:
        description:
          - Seconds that Postfix may take to come up. C(postfix check) may take four times as long, a restart six times, for they go through the
            whole mail queue; what takes longer is ended, and the old state is put back.
        type: float
        default: 30.0
      unproven:
        description:
          - What to do where the host itself can't see all of a listener, though nothing that was seen is wrong, as with limits on connections
            (C(smtpd_client_connection_rate_limit)), clients that need a certificate (C(smtpd_tls_req_ccert)), a firewall on loopback, or load.
          - V(tell) proves what can be proven, and names the rest with its parameter in RV(findings). V(fail) puts everything back.
        type: str
        choices: [tell, fail]
        default: tell
requirements:
  - Postfix 3.4 or newer
  - Python 3.9 or newer, no further library
seealso:
  - module: mailsec.postfix_tls.starttls_verify
  - name: TLS_README
    description: Postfix TLS support.
    link: https://www.postfix.org/TLS_README.html
"""

EXAMPLES = r"""
---
- name: Switch TLS on for receiving and sending
  mailsec.postfix_tls.postfix_tls:
    chains:
      - key_file: /etc/letsencrypt/live/mx1.example.org/privkey.pem
        certificate_file: /etc/letsencrypt/live/mx1.example.org/fullchain.pem
    parameters:
      smtpd_tls_security_level: may
      smtpd_tls_received_header: true
      smtpd_tls_protocols: ">=TLSv1.2"
      smtp_tls_security_level: may
      smtp_tls_loglevel: 1

- name: Serve two further domains under their own names
  mailsec.postfix_tls.postfix_tls:
    sni:
      - names: [mx.example.net]
        chains:
          - key_file: /etc/letsencrypt/live/mx.example.net/privkey.pem
            certificate_file: /etc/letsencrypt/live/mx.example.net/fullchain.pem
      - names: [mx.example.com, .mail.example.com]
        chains:
          - key_file: /etc/letsencrypt/live/mx.example.com/privkey.pem
            certificate_file: /etc/letsencrypt/live/mx.example.com/fullchain.pem
    action: reload

- name: Follow Mozilla's guideline, and demand encryption from those who submit mail
  mailsec.postfix_tls.postfix_tls:
    profiles:
      smtpd: intermediate
      smtp: intermediate
    services:
      submission/inet:
        smtpd_tls_security_level: encrypt
        smtpd_tls_auth_only: true

- name: Never send to this partner in the clear
  mailsec.postfix_tls.postfix_tls:
    policy:
      destinations:
        - destination: partner.example.com
          level: secure
          match: [mx.partner.example.com]
    action: reload

- name: Take mail of these partners with TLS only
  mailsec.postfix_tls.postfix_tls:
    required:
      clients: [192.0.2.0/24, "2001:db8:25::/64", mail.partner.example.com]
      senders: [partner.example.com, .partner.example.com]
    action: reload

- name: Return to the state before the last change
  mailsec.postfix_tls.postfix_tls:
    state: restored

- name: Return to the state before an earlier change, one of those that state=listed returns
  mailsec.postfix_tls.postfix_tls:
    state: restored
    transaction: 1795500000000-4711

- name: Forget the states that hold a key which has been replaced
  mailsec.postfix_tls.postfix_tls:
    state: forgotten
"""

RETURN = r"""
plan:
  description: The files that change, in the order they are written.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The file.
      type: str
      sample: /etc/postfix/main.cf
    change:
      description: One of V(create), V(change), V(remove).
      type: str
      sample: change
  sample: [{"path": "/etc/postfix/tls/default.pem", "change": "create"}, {"path": "/etc/postfix/main.cf", "change": "change"}]
action_taken:
  description: How the change was made live; in check mode, how it would be.
  returned: always
  type: str
  sample: restart
running:
  description: Whether Postfix runs, in check mode whether it would.
  returned: success
  type: bool
  sample: true
findings:
  description: What the postmaster should know, for instance why the receiving side stays off.
  returned: always
  type: list
  elements: dict
  sample:
    - check: receiving
      verdict: note
      observed: there is no certificate, so encryption is not offered for receiving; sending is encrypted all the same
      expected: a certificate from a CA that peers trust
      fix: install one (tls_certificate_source)
      reference: TLS_README, Server-side certificate and private key configuration
results:
  description: Every listener as it was probed from the host itself, in the form of M(mailsec.postfix_tls.starttls_verify).
  returned: when it was proven on the wire
  type: list
  elements: dict
  sample:
    - target: {"host": "127.0.0.1", "port": 25, "protocol": "smtp", "server_name": "mx1.example.org", "address": "127.0.0.1"}
      reachable: true
      findings:
        - {"check": "handshake", "verdict": "pass", "observed": "TLSv1.3, TLS_AES_256_GCM_SHA384", "expected": "a finished handshake"}
expect:
  description:
    - What a peer may expect of public port 25, by the host's own configuration, for the option C(expect) of
      M(mailsec.postfix_tls.starttls_verify). Empty where port 25 is not public, or waits for a line of the PROXY protocol.
  returned: success, not in check mode
  type: dict
  sample: {"starttls": true, "floor": "TLSv1.2", "trust": true, "name": true, "deployed": ["44ae59..."]}
profile:
  description:
    - The profile that public port 25 has whole; empty without one, and where something in it was asked for, or is in place, otherwise. Of the default
      one, V(opportunistic).
  returned: success
  type: str
  sample: intermediate
receiving:
  description: Whether encryption is offered for receiving on port 25.
  returned: success
  type: bool
  sample: true
myhostname:
  description: The name this Postfix greets with.
  returned: success
  type: str
  sample: mx1.example.org
postfix_version:
  description: The release.
  returned: success
  type: str
  sample: 3.10.5
seconds:
  description: Where the time on the host went - to planning, writing and checking files, making the change live, and proving it on the wire.
  returned: success, not in check mode
  type: dict
  sample: {"plan": 0.061, "live": 1.204, "prove": 0.097, "write": 0.043}
transaction:
  description: Id of the change, for O(transaction); empty when nothing was changed.
  returned: success
  type: str
  sample: 1795500000000-4711
summary:
  description: In words, what was put back and what stays as others wrote it; or the changes that can be undone.
  returned: success
  type: list
  elements: str
  sample: ["/etc/postfix/main.cf: smtpd_tls_loglevel removed (it was 2)", "/etc/postfix/main.cf: relayhost: as somebody wrote it since then, and stays"]
generations:
  description: The changes that can be undone, the newest first. At most five are kept.
  returned: with O(state=listed) and O(state=forgotten)
  type: list
  elements: dict
  contains:
    id:
      description: For O(transaction).
      type: str
    kind:
      description: V(change), or V(restored) of a rollback.
      type: str
    time:
      description: When, in UTC.
      type: str
    who:
      description: Who had it made, as sudo names them; empty where an earlier release made it.
      type: str
    changes:
      description: What it changed, a sentence each.
      type: list
      elements: str
    holds_key:
      description: Whether the state before it, that is kept, holds a key.
      type: bool
  sample:
    - id: 1795500000000-4711
      kind: change
      time: "2026-11-24T09:20:00Z"
      who: alice
      changes: ["/etc/postfix/main.cf: smtpd_tls_loglevel = 2 (it was 1)"]
      holds_key: false
resumed:
  description: Whether an earlier run was found killed midway, and completed by this one.
  returned: success
  type: bool
  sample: false
restored:
  description: Whether the old state was put back after a failure.
  returned: failure, once files were written
  type: bool
  sample: true
log:
  description: What Postfix logged during the failed change.
  returned: failure, once files were written
  type: list
  elements: str
  sample: ["postfix/smtpd[4711]: warning: cannot get RSA private key from file: disabling TLS support"]
"""

import importlib
import sys
import typing as t

from ansible_collections.mailsec.postfix_tls.plugins.module_utils._error import PostfixTlsError
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._module import Module as Keyless
from ansible_collections.mailsec.postfix_tls.plugins.module_utils._payload import Payload

#: Not imported as usual, for Ansible would pack it and all behind it: the action plugin has sent that as _payload.
CHANGE = "ansible_collections.mailsec.postfix_tls.plugins.module_utils._change"

PROFILES = ["default", "opportunistic", "interop", "intermediate", "modern", "ncsc_2025", "bsi_tr02102", "rfc9325"]

_CHAIN = {
    "key": {"type": "str", "no_log": True},
    "key_file": {"type": "path"},
    "certificate": {"type": "str"},
    "certificate_file": {"type": "path"},
    "self_signed": {"type": "bool"},
    "keep_root": {"type": "bool", "default": False},
    "directory": {"type": "path"},
}
_CHAINS = {
    "type": "list",
    "elements": "dict",
    "mutually_exclusive": [("key", "key_file", "self_signed"), ("certificate", "certificate_file", "self_signed")],
    "required_one_of": [("key", "key_file", "self_signed"), ("certificate", "certificate_file", "self_signed")],
}
ARGUMENT_SPEC = {
    "state": {"type": "str", "choices": ["present", "restored", "listed", "forgotten"], "default": "present"},
    "transaction": {"type": "str"},
    "conflicts": {"type": "str", "choices": ["refuse", "ours"], "default": "refuse"},
    "config_directory": {"type": "path", "default": "/etc/postfix"},
    "chains": dict(_CHAINS, default=[], options=dict(_CHAIN, name={"type": "str", "default": "default"})),
    "sni": {
        "type": "list",
        "elements": "dict",
        "options": {
            "names": {"type": "list", "elements": "str", "required": True},
            "chains": dict(_CHAINS, required=True, options=dict(_CHAIN, name={"type": "str"})),
        },
    },
    "renewal": {"type": "bool"},
    "parameters": {"type": "dict", "default": {}},
    "defaults": {"type": "dict", "default": {}},
    "services": {"type": "dict", "default": {}},
    "profiles": {"type": "dict", "options": {side: {"type": "str", "choices": PROFILES} for side in ("smtpd", "smtp")}},
    "policy": {
        "type": "dict",
        "options": {
            "path": {"type": "path"},
            "maps": {"type": "list", "elements": "str"},
            "destinations": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "destination": {"type": "str", "required": True},
                    "level": {
                        "type": "str",
                        "choices": ["none", "may", "encrypt", "dane", "dane-only", "fingerprint", "verify", "secure"],
                        "default": "encrypt",
                    },
                    "match": {"type": "list", "elements": "str"},
                    "fingerprints": {"type": "list", "elements": "str"},
                    "protocols": {"type": "str"},
                    "ciphers": {"type": "str", "choices": ["high", "medium", "low", "export", "null"]},
                    "exclude": {"type": "list", "elements": "str"},
                    "tafile": {"type": "str"},
                    "servername": {"type": "str"},
                    "connection_reuse": {"type": "bool"},
                    "enable_rpk": {"type": "bool"},
                },
            },
        },
    },
    "required": {"type": "dict", "options": {who: {"type": "list", "elements": "str"} for who in ("clients", "senders")}},
    "self_signed": {"type": "str", "choices": ["sending_only", "allow"], "default": "sending_only"},
    "public_encrypt": {"type": "str", "choices": ["refuse", "allow"], "default": "refuse"},
    "unsupported": {"type": "str", "choices": ["refuse", "skip"], "default": "refuse"},
    "action": {"type": "str", "choices": ["restart", "reload", "none"], "default": "restart"},
    "start_stopped": {"type": "bool", "default": False},
    "verify": {
        "type": "dict",
        "apply_defaults": True,
        "options": {
            "names": {"type": "list", "elements": "str"},
            "ca_file": {"type": "path"},
            "min_days_left": {"type": "int", "default": 0},
            "timeout": {"type": "float", "default": 10.0},
            "start_timeout": {"type": "float", "default": 30.0},
            "unproven": {"type": "str", "choices": ["tell", "fail"], "default": "tell"},
        },
    },
}


class Module(Keyless):
    """payload: what the action plugin sent along; it is no option, and so in no message, log or result."""

    payload: Payload | None = None

    def _load_params(self) -> None:
        super()._load_params()
        packed = self.params.pop("_payload", None)
        if packed:
            self.payload = Payload(packed)
            sys.meta_path.insert(0, self.payload)

    def _log_invocation(self) -> None:
        """Ansible's own line in the system log would hold the key: it masks values as they are, and there a line end is written as \\n."""
        named = {"chains": [chain["name"] for chain in self.params["chains"]], "sni": [entry["names"] for entry in self.params["sni"] or ()]}
        named["policy"] = "%d destinations" % len(self.params["policy"]["destinations"]) if self.params["policy"] else None
        self.log("Invoked with %s" % " ".join("%s=%s" % item for item in dict(self.params, **named).items()))


def main() -> t.NoReturn:
    module = Module(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        result = importlib.import_module(CHANGE).carry_out(module.params, module.check_mode, module._diff)
        for finding in result["findings"]:
            module.warn("%s. Remedy: %s." % (finding["observed"], finding["fix"]))
        if module.payload and not module.check_mode:
            module.payload.keep()
        module.exit_json(**result)
    except PostfixTlsError as error:
        module.fail_json(msg=str(error), **error.details)


if __name__ == "__main__":
    main()
