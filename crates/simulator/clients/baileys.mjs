// Drives a stock Baileys against the simulator. BAILEYS names its entry file, STATE an empty folder.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

import { BOT, CUSTOMER, Scenarios, mediaFrom, start } from "./network.mjs";

const entry = process.env.BAILEYS;
const baileys = await import(pathToFileURL(entry));
const pino = createRequire(entry)("pino");
const { makeWASocket, useMultiFileAuthState, downloadMediaMessage, WA_CERT_DETAILS } = baileys;
const PIXEL = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64",
);

// Its Signal library prints keys.
console.info = console.warn = console.error = () => {};

const network = await start();
mediaFrom(network);
// What it holds of WhatsApp's root is an exported object; versions that check no signature have no key in it.
if (WA_CERT_DETAILS && "PUBLIC_KEY" in WA_CERT_DETAILS) {
  WA_CERT_DETAILS.PUBLIC_KEY = Buffer.from(network.root, "hex");
}

class Bot {
  messages = [];
  updates = [];
  waiting = [];
  history = undefined;
  online = false;

  constructor(folder) {
    this.folder = folder;
  }

  async connect() {
    const { state, saveCreds } = await useMultiFileAuthState(this.folder);
    this.sock = makeWASocket({
      auth: state,
      waWebSocketUrl: network.chat,
      logger: pino({ level: process.env.LOG ?? "silent" }),
      version: [2, 3000, 1043857760],
      connectTimeoutMs: 10_000,
      syncFullHistory: true,
    });
    const { sock } = this;
    const { ev } = sock;
    ev.on("creds.update", saveCreds);
    ev.on("messages.upsert", ({ messages }) => this.note(this.messages, messages));
    ev.on("messages.update", (updates) => this.note(this.updates, updates));
    ev.on("messages.reaction", (updates) => this.note(this.updates, updates));
    ev.on("call", (calls) => this.note(this.updates, calls));
    ev.on("messaging-history.set", (history) => {
      this.history = history;
      this.note([], []);
    });
    ev.on("connection.update", ({ connection, qr, lastDisconnect }) => {
      this.qr = qr ?? this.qr;
      this.online = connection ? connection === "open" : this.online;
      // After pairing the server ends the stream and expects a login.
      if (connection === "close" && sock === this.sock) {
        this.why = lastDisconnect?.error?.message;
        setTimeout(() => this.connect(), 100);
      }
      this.note([], []);
    });
    return this;
  }

  note(list, entries) {
    list.push(...entries);
    for (const look of this.waiting) look();
  }

  until(holds) {
    return new Promise((resolve) => {
      const look = () => {
        const found = holds();
        if (found) {
          this.waiting = this.waiting.filter((other) => other !== look);
          resolve(found);
        }
      };
      this.waiting.push(look);
      look();
    });
  }

  text(text) {
    const of = ({ message }) => message?.conversation ?? message?.extendedTextMessage?.text;
    return this.until(() => this.messages.find((message) => of(message) === text));
  }

  disconnect() {
    const { sock } = this;
    this.sock = undefined;
    sock.end(undefined);
  }
}

const scenarios = new Scenarios();
const customer = `${CUSTOMER}@s.whatsapp.net`;
const say = (body) => network.post(`/accounts/${CUSTOMER}/send`, { to: BOT, ...body });
const arrived = async (id) => {
  for (let count = 1; ; count += 1) {
    const inbox = await network.inbox(CUSTOMER, count);
    const found = inbox.find((message) => message.id === id);
    if (found) return found;
    if (inbox.length < count) throw new Error(`the customer did not get it: ${JSON.stringify(inbox)}`);
  }
};

await say({ text: "from before" });
const bot = await new Bot(`${process.env.STATE}/qr`).connect();
await scenarios.run("links by QR code", async () => {
  await bot.until(() => bot.qr);
  await network.post(`/accounts/${BOT}/scan-qr`, { qr: bot.qr });
  await bot.until(() => bot.online);
});
await scenarios.run("gets the history after linking", async () => {
  const history = await bot.until(() => bot.history);
  if (!history.messages.some((message) => message.message?.conversation === "from before")) {
    throw new Error(`only ${JSON.stringify(history.messages)}`);
  }
});
await scenarios.run("receives a text", async () => {
  await say({ text: "hello bot" });
  await bot.text("hello bot");
});
let sent;
await scenarios.run("sends a text", async () => {
  sent = await bot.sock.sendMessage(customer, { text: "hello customer" });
  const message = await arrived(sent.key.id);
  if (message.text !== "hello customer") throw new Error(message.text);
});
await scenarios.run("hears that it was read", async () => {
  // An update that comes at once is told within the message.
  const status = (wanted) => () =>
    [...bot.updates, ...bot.messages].find(
      ({ key, update, status }) => key?.id === sent.key.id && (update?.status ?? status) >= wanted,
    );
  // Not "delivered": the own phone's receipt, which follows at once, overwrites it in the client's buffer of events.
  await network.post(`/accounts/${CUSTOMER}/read`, { id: sent.key.id });
  await bot.until(status(4));
});
await scenarios.run("hears a reaction", async () => {
  await say({ kind: "reaction", text: "👍", about: { id: sent.key.id, author: BOT } });
  await bot.until(() => {
    const heard = [...bot.updates, ...bot.messages].flatMap((entry) => entry.reactions ?? [entry.reaction]);
    return heard.find((reaction) => reaction?.text === "👍");
  });
});
await scenarios.run("sends a reaction", async () => {
  const { id } = await say({ text: "react to this" });
  const heard = await bot.text("react to this");
  const reaction = await bot.sock.sendMessage(customer, { react: { text: "🎂", key: heard.key } });
  const message = await arrived(reaction.key.id);
  if (message.target !== id || message.change !== "🎂") throw new Error(JSON.stringify(message));
});
await scenarios.run("sends a picture", async () => {
  const image = { image: PIXEL, caption: "look", jpegThumbnail: "" };
  const message = await arrived((await bot.sock.sendMessage(customer, image)).key.id);
  const file = await network.get(`/accounts/${CUSTOMER}/inbox/${message.id}/file`);
  if (!PIXEL.equals(file)) throw new Error(`${file.length} other bytes`);
});
await scenarios.run("receives a picture", async () => {
  const bytes = PIXEL.toString("base64");
  const { id } = await say({ kind: "image", bytes, mimetype: "image/png" });
  const heard = await bot.until(() => bot.messages.find((message) => message.key.id === id && message.message));
  const file = await downloadMediaMessage(heard, "buffer", {});
  if (!PIXEL.equals(file)) throw new Error(`${file.length} other bytes`);
});
await scenarios.run("finds out who is on WhatsApp", async () => {
  const found = await bot.sock.onWhatsApp(CUSTOMER, "5511900000000");
  if (!found.some((entry) => entry.exists && entry.jid.startsWith(CUSTOMER))) throw new Error(JSON.stringify(found));
});
await scenarios.run("talks in a group", async () => {
  const { group } = await network.post(`/accounts/${CUSTOMER}/groups`, { subject: "Cake", members: [BOT] });
  await network.post(`/accounts/${CUSTOMER}/send`, { to: group, text: "hello group" });
  await bot.text("hello group");
  const said = await bot.sock.sendMessage(group, { text: "hello all" });
  const message = await arrived(said.key.id);
  if (message.group !== group || message.text !== "hello all") throw new Error(JSON.stringify(message));
});
await scenarios.run("refuses a call", async () => {
  const { id } = await network.post(`/accounts/${CUSTOMER}/call`, { to: BOT });
  const call = await bot.until(() => bot.updates.find((update) => update.id === id && update.status === "offer"));
  await bot.sock.rejectCall(call.id, call.from);
  const { refused_calls: refused } = await network.get("/record");
  if (!refused.some((seen) => seen.id === id)) throw new Error(JSON.stringify(refused));
});
await scenarios.run("asks for settings and profiles", async () => {
  await bot.sock.fetchPrivacySettings(true);
  await bot.sock.fetchBlocklist();
  await bot.sock.getBusinessProfile(customer);
  await bot.sock.sendPresenceUpdate("available");
  await bot.sock.sendPresenceUpdate("composing", customer);
});
await scenarios.run("gets what came while it was away", async () => {
  bot.disconnect();
  await say({ text: "while you were away" });
  await bot.connect();
  await bot.text("while you were away");
});
bot.disconnect();

const second = await new Bot(`${process.env.STATE}/code`).connect();
await scenarios.run("links by code", async () => {
  await second.until(() => second.qr);
  const code = await second.sock.requestPairingCode(BOT);
  await network.post(`/accounts/${BOT}/enter-code`, { code });
  await second.until(() => second.online);
});
second.disconnect();
await scenarios.record(network);
network.stop();
process.exit(scenarios.failed ? 1 : 0);
