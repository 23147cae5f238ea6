// Tests a small bot on a simulated WhatsApp network. Only what Node.js 20 brings; run it with
//
//     WAYPOST=target/release/waypost node --test bot.test.mjs

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";

const CUSTOMER = "4917012340001";
let folder, sandbox, waypost, session, webhook;

async function call(method, url, body, headers = {}) {
  const answer = await fetch(url, {
    method,
    headers: { "content-type": "application/json", ...headers },
    body: body && JSON.stringify(body),
  });
  const text = await answer.text();
  assert.ok(answer.ok, `${method} ${url}: ${answer.status} ${text}`);
  return JSON.parse(text);
}

const api = (method, path, body) =>
  call(method, `${waypost.api}/sessions/${session.id}/${path}`, body, { "x-api-key": waypost.apiKey });
const person = (path, body) => call(body ? "POST" : "GET", `${waypost.control}/${path}`, body);
const inbox = (phone, count) => person(`accounts/${phone}/inbox?at_least=${count}&wait_ms=30000`);

// What is tested: it answers every text in capitals, and calls with a text.
async function bot(event) {
  const chatId = event.data.chatId ?? event.data.from;
  if (event.event === "message.received") {
    await api("POST", "messages/send-text", { chatId, text: event.data.body.toUpperCase() });
  } else if (event.event === "call.received") {
    await api("POST", "messages/send-text", { chatId, text: "Please write, this is a bot." });
  }
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "bot-"));
  const args = ["sandbox", "--numbers", "1", "--json", "--port", "0", "--dir", folder];
  sandbox = spawn(process.env.WAYPOST ?? "waypost", args, { stdio: ["ignore", "pipe", "inherit"] });
  // One line, when everything is up.
  const [line] = await once(createInterface(sandbox.stdout), "line");
  waypost = JSON.parse(line);
  session = waypost.sessions[0];

  webhook = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    await bot(JSON.parse(Buffer.concat(parts)));
    response.end();
  });
  webhook.listen(0, "127.0.0.1");
  await once(webhook, "listening");
  const url = `http://127.0.0.1:${webhook.address().port}/`;
  await api("POST", "webhooks", { url, events: ["message.received", "call.received"] });
  await person("accounts", { phone: CUSTOMER, name: "Mia" });
});

after(async () => {
  sandbox.kill();
  webhook.close();
  webhook.closeAllConnections();
  await once(sandbox, "exit");
  await rm(folder, { recursive: true });
});

test("a customer is answered, and sees that it was read", async () => {
  await person(`accounts/${CUSTOMER}/send`, { to: session.phone, text: "hello" });
  const [answer] = await inbox(CUSTOMER, 1);
  assert.equal(answer.text, "HELLO");
  assert.equal(answer.from_me, false);
});

test("a call is answered by a text", async () => {
  const { id } = await person(`accounts/${CUSTOMER}/call`, { to: session.phone });
  const messages = await inbox(CUSTOMER, 2);
  assert.equal(messages.at(-1).text, "Please write, this is a bot.");
  await person(`accounts/${CUSTOMER}/end-call`, { to: session.phone, id });
});

test("nothing the bot did was unknown to the network", async () => {
  const record = await person("record");
  assert.deepEqual([record.unknown, record.unanswered], [[], []]);
});
