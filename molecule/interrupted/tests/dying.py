# SPDX-License-Identifier: GPL-3.0-or-later
"""On a test host: the module, run again and again, and each time killed one step later, until a run gets through.

C(dying.py) reads {"states": {name: arguments of the module}, "turn": number} as JSON, and prints what it saw as a list of JSON.
C(dying.py STEP) is one run, with its arguments on standard input; it dies before that step, 0 for never, and says which it was on
standard error.

A step is what changes a file or runs Postfix. What only looks is none, for a run killed before it leaves what one leaves that is killed
before the next step. A command that changes Postfix is two: before it is run, and while it runs.
"""
import glob
import json
import os
import re
import signal
import subprocess
import sys

KEPT = "/var/lib/mailsec-postfix_tls/etc-postfix"
PLACES = ("/etc/postfix", "/var/lib/mailsec-postfix_tls")
FILES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir")
COMMANDS = ("postfix", "systemctl", "systemd-run", "sh", os.path.basename(sys.executable))
LOOKS = ("check", "reset-failed")

#: More than there are: only that this ends where no run gets through.
MOST = 200

#: What is looked at beside the files, as commands. A restarted Postfix may be just coming up.
SERVED = (
    "for turn in $(seq 50); do timeout 3 openssl s_client -starttls smtp -connect 127.0.0.1:25 </dev/null 2>/dev/null"
    " | openssl x509 -noout -fingerprint -sha256 2>/dev/null && break; sleep 0.1; done"
)
#: Files that Postfix's own editors lock: one that is killed leaves them, and the next one takes them.
NO_LOCK = "! -name '*.cf.tmp'"
OPEN_KEYS = "grep -rlF 'PRIVATE KEY' %s %s /tmp | xargs -r -I{} find {} -perm /077" % PLACES


class Run:
    """fatal: the number of the step before which it dies."""

    def __init__(self, fatal):
        self.fatal = fatal
        self.steps = 0

    def hook(self, event, arguments):
        if event in FILES and ours(arguments[0]):
            self.step(event, arguments[:2])
        elif event == "open" and arguments[2] & os.O_CREAT and not isinstance(arguments[0], int) and ours(arguments[0]):
            self.step(event, arguments[0])
        elif event == "subprocess.Popen":
            argv = [os.fsdecode(word) for word in arguments[1]]
            if os.path.basename(argv[0]) in COMMANDS and not set(LOOKS) & set(argv):
                self.step("before", argv)
                self.step("amid", argv)

    def step(self, event, what):
        self.steps += 1
        if self.steps != self.fatal:
            return
        os.write(2, ("%s %s" % (event, what)).encode())
        if event == "amid":  # an alarm that nobody catches ends a process as a kill does, and can come later
            signal.setitimer(signal.ITIMER_REAL, 0.1)
        else:
            os.kill(os.getpid(), signal.SIGKILL)


def ours(name):
    """Names within a directory that is being removed are relative."""
    return not os.path.isabs(name) or name.startswith(PLACES)


def one_run(fatal):
    """The module as Ansible runs it, without the way there."""
    from ansible.module_utils import basic
    from ansible_collections.mailsec.postfix_tls.plugins.modules import postfix_tls

    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": json.load(sys.stdin)}).encode()
    basic._ANSIBLE_PROFILE = "legacy"
    if fatal:
        sys.addaudithook(Run(fatal).hook)
    postfix_tls.main()


def run(arguments, fatal=0):
    """{killed: at which step, empty where it was not, or what the module returned}"""
    words = [sys.executable, "-B", os.path.abspath(__file__), str(fatal)]
    done = subprocess.run(words, input=json.dumps(arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, check=False)
    return {"killed": done.stderr} if done.returncode < 0 else dict(json.loads(done.stdout), killed="")


def said(command):
    done = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, check=False)
    return done.stdout.strip()


def look(checked):
    """checked: {files: what postfix check said of them}, so that it is asked once."""
    seen = {
        "main": said("sha256sum < /etc/postfix/main.cf"),
        "tree": said("cd /etc/postfix; find . %s | sort | xargs ls -ldn --time-style=+; find . -type f %s | sort | xargs sha256sum" % (NO_LOCK, NO_LOCK)),
        "served": re.sub("^.*=|:", "", said(SERVED)).lower(),
        "open": said(OPEN_KEYS),
        "kept": sorted(os.listdir(KEPT)),
        "pending": os.path.exists(KEPT + "/pending/manifest.json"),
        "half": glob.glob("/etc/postfix/*.cf.tmp") + glob.glob("/etc/postfix/**/.*.postfix_tls", recursive=True) + glob.glob(KEPT + "/**/.*", recursive=True),
    }
    if seen["tree"] not in checked:
        checked[seen["tree"]] = said("postfix check")
    return dict(seen, check=checked[seen["tree"]])


def main():
    asked = json.load(sys.stdin)
    names, checked, rows = sorted(asked["states"]), {}, []
    whole = {}
    for name in names:
        run(asked["states"][name])
        whole[name] = look(checked)
    now = names[-1]
    for step in range(1, MOST):
        wanted, third = [names[(names.index(now) + ahead) % 3] for ahead in (1, 2)]
        killed = run(asked["states"][wanted], step)
        seen = look(checked)
        # Where nothing is begun yet, restored would be a rollback of the change before.
        begun = seen["pending"] or seen["main"] == whole[wanted]["main"]
        kinds = [(wanted, wanted), ("restored", now) if begun else (wanted, wanted), (third, third)]
        then, leads_to = kinds[(step + asked["turn"]) % 3]
        row = {"step": step, "old": now, "new": wanted, "killed": killed["killed"], "seen": seen, "then": then, "leads_to": leads_to}
        rows.append(row)
        if not killed["killed"]:
            break
        arguments = dict(asked["states"][now], state="restored") if then == "restored" else asked["states"][then]
        row["result"] = run(arguments)
        row["after"] = look(checked)
        now = leads_to
    json.dump({"whole": whole, "rows": rows}, sys.stdout)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        one_run(int(sys.argv[1]))
    else:
        main()
