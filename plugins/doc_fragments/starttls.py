# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that starttls_info and starttls_verify share; module_utils/_starttls/options.py has them as code."""
from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  targets:
    description:
      - The mail servers to look at. They are looked at side by side, each within its own O(timeout), so that a slow or
        hostile one delays none of the others.
      - Without any, on a Postfix host, every listener of its C(master.cf) is looked at.
    type: list
    elements: dict
    suboptions:
      host:
        description: Name or address of the server.
        type: str
        required: true
      port:
        description:
          - The port. By default V(25) for O(targets[].protocol=smtp), V(587) for O(targets[].protocol=submission) and V(465)
            for O(targets[].protocol=smtps).
        type: int
      protocol:
        description:
          - V(smtp) and V(submission) start in the clear and switch with STARTTLS; V(smtps) speaks TLS from the first byte.
        type: str
        choices: [smtp, submission, smtps]
        default: smtp
      server_name:
        description:
          - The name to ask for (SNI) and to look for in the certificate. By default O(targets[].host).
          - At O(depth=standard) what is served without SNI is looked at as well, for Postfix sends none by default. Its trust and dates count
            too; its name does where O(targets[].host) is looked for.
        type: str
      address:
        description:
          - IP address to connect to, in place of those that O(targets[].host) resolves to. Otherwise the first one that
            answers is looked at.
        type: str
  config_directory:
    description: The Postfix instance whose listeners are looked at where there are no O(targets).
    type: path
    default: /etc/postfix
  ca_file:
    description:
      - File of PEM certificates, on the machine that runs the module, to trust in place of the system's store.
    type: path
  timeout:
    description:
      - Seconds for everything at one target, resolving its name and all connections included, from the first of them on. What is
        not answered by then is unknown.
      - A server that lets each connection wait before it greets, as C(postscreen_greet_wait) of Postfix, C(greet_pause) of sendmail and
        a C(delay) of Exim do, is given back the time that its greetings took, up to twice as many seconds as there are. One that
        does not greet at all is not.
    type: float
    default: 20.0
  concurrency:
    description:
      - How many targets are looked at a time, at most. At one target there are at most four connections at a time.
      - It is never more than 200, nor more than the files that the process may open (C(ulimit -n)) allow for, and above 32 it grows only
        as long as the machine keeps up. So with any number a healthy server has all of its O(timeout).
    type: int
    default: 32
  ehlo_name:
    description:
      - Name to say EHLO with. The default is the same everywhere, so that these connections are easily told from others in
        the log, and by RFC 2606 it is nobody's name.
    type: str
    default: starttls-verify.invalid
  source_address:
    description:
      - IP address of this machine to connect from. Targets of the other address family can't be reached then.
    type: str
  depth:
    description:
      - How much is asked for. V(handshake) is one verified handshake, and another one where the chain is not trusted or the first did not come about
        at OpenSSL's security level 1 (a third where both are so). V(versions) adds
        which protocol versions are accepted, one connection each. V(standard) asks every usual question within 16 connections. V(full)
        also asks for SSLv2, and lists every suite and group, with one connection for each.
    type: str
    choices: [handshake, versions, standard, full]
    default: standard
notes:
  - Needs nothing but Python.
  - A standard look takes at most 16 connections, at most four of them at a time, and stops at a reply of 421. It never talks before the
    server does. Each connection that ends after STARTTLS leaves a few lines in the log of the server; the aggressive mode of fail2ban
    counts them.
  - Refused is only what the server itself refused, with a TLS alert or an SMTP reply. Where it closes the connection right behind a
    ClientHello, or says C(close_notify) or C(internal_error), that is a refusal only if it does so again to the same question and goes on
    answering others; the reason then says so. Silence, time-outs and anything else are unknown.
  - A look from the host itself or from C(mynetworks) may see less of the server's protections than a stranger does. RV(results[].vantage)
    says where it was taken from.
"""

    ACTIONGROUP = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/mailsec.postfix_tls.starttls) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - mailsec.postfix_tls.starttls
"""
