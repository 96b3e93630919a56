// SPDX-License-Identifier: GPL-3.0-or-later
// nodemailer's smtp-server with its own defaults, beside what is wanted: node smtp_server.js WANTED.json
"use strict";
const fs = require("fs");
const tls = require("tls");
const { SMTPServer } = require("smtp-server");

const wanted = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const keys = wanted.chains.map((chain) => fs.readFileSync(chain.key));
const chains = wanted.chains.map((chain) => fs.readFileSync(chain.chain));
const options = { name: wanted.name, key: keys, cert: chains, authOptional: true, disableReverseLookup: true };
if (wanted.oldest) {
  Object.assign(options, { minVersion: wanted.oldest, maxVersion: wanted.newest, disabledCommands: ["AUTH"] });
}
if (wanted.any_level) {
  options.ciphers = "ALL:!aNULL:@SECLEVEL=0";
}
if (wanted.client) {
  Object.assign(options, { requestCert: true, rejectUnauthorized: true, ca: [fs.readFileSync(wanted.ca)] });
}
if (wanted.named) {
  Object.assign(options, { key: keys[0], cert: chains[0] });
  const named = tls.createSecureContext({ key: keys[1], cert: chains[1] });
  options.SNICallback = (name, done) => done(null, name === wanted.name ? named : null);
}
if (wanted.requires_tls) {
  options.onMailFrom = (_address, session, done) => done(session.secure ? null : Object.assign(new Error("Must issue a STARTTLS command first"), { responseCode: 530 }));
}
const server = new SMTPServer(options);
server.on("error", (error) => console.error(error.message));
server.listen(wanted.port, "0.0.0.0");
