# SPDX-License-Identifier: GPL-3.0-or-later
# Every target does its own set-up, once; what it makes lies under .cache/.

CACHE       := $(CURDIR)/.cache
VENV        := $(CACHE)/venv
COLLECTION  := $(CACHE)/ansible_collections/mailsec/postfix_tls
LAB         := python3 molecule/lab/lab
SCENARIOS   := default wire sending_only faults upgrade profiles load rollback interrupted acme certificates policy audit required as_they_are
MOLECULE    := molecule test --no-command-borders --scenario-name

export PATH := $(VENV)/bin:$(PATH)
export ANSIBLE_HOME := $(CACHE)/ansible
export PYTHONDONTWRITEBYTECODE := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint unit sanity crosscheck foreign cores scenario $(SCENARIOS:%=scenario-%) bench hosts login clean distclean

help: ## show this
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

demo: setup ## harden two real Postfix hosts, and prove it on the wire
	@$(LAB) up demo
	@tests/demo/run

test: setup ## lint, unit tests, ansible-test sanity, the crosscheck, foreign servers, other ansible-cores, all molecule scenarios
	@tests/setup crosscheck
	@tests/setup foreign
	@trap '$(LAB) down $(SCENARIOS) crosscheck foreign cores' EXIT; tests/all

lint: $(VENV)/ready ## all static checks
	@tests/lint/run

unit: $(VENV)/ready ## unit tests
	@pytest tests/unit

sanity: $(VENV)/ready ## all tests of ansible-test sanity
	@tests/sanity/run

crosscheck: setup ## what we say of real hosts against sslscan, nmap, s_client and posttls-finger; the hosts stay
	@tests/setup crosscheck
	@$(LAB) up crosscheck
	@pytest tests/crosscheck

foreign: setup ## what we say of mail servers of other people, sound and faulty, against what others say; the hosts stay
	@tests/setup foreign
	@$(LAB) up foreign
	@pytest tests/foreign

cores: setup ## the main job by other releases of ansible-core; the hosts stay
	@$(LAB) up cores
	@pytest tests/cores

scenario: setup ## one molecule scenario, as in S=wire; its hosts stay
	@$(LAB) up $(or $(S),$(error Say which, as in S=wire: $(SCENARIOS))) # molecule does not see that hosts it made are gone
	@$(MOLECULE) $(or $(S),$(error Say which, as in S=wire: $(SCENARIOS))) --destroy=never

$(SCENARIOS:%=scenario-%): scenario-%: setup
	@$(MOLECULE) $*

bench: setup ## what a run and a look cost, as ratios
	@tests/setup bench
	@$(LAB) up bench bench_foreign >&2
	@tests/benchmark/run

hosts: ## the state of all test hosts
	@$(LAB) list

login: ## a shell on a test host, as in H=mx1
	@$(LAB) login $(or $(H),$(error Say where, as in H=mx1; `make hosts` shows all))

clean: ## remove hosts, network, keys and caches of this checkout
	@$(LAB) clean
	@rm -rf $(CACHE) .ansible .hypothesis tests/output

distclean: ## clean, and the hosts' images, which other checkouts on this machine may use
	@$(LAB) clean --images
	@$(MAKE) --no-print-directory clean

setup: $(VENV)/ready ## only the set-up
	@tests/setup hosts

$(VENV)/ready: tests/requirements.txt
	@tests/setup python
	@echo "setup: Python packages into .cache/venv"
	@PATH="$${PATH#*:}" python3 -m venv --clear $(VENV)
	@$(VENV)/bin/pip install --quiet --quiet --disable-pip-version-check --requirement $<
	@mkdir -p $(dir $(COLLECTION)) && ln -sfn ../../.. $(COLLECTION)
	@touch $@
