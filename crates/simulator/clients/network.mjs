// The simulator as a process, its control surface, and a list of scenarios: what every driver in JavaScript needs.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { syncBuiltinESMExports } from "node:module";
import { createInterface } from "node:readline";
import tls from "node:tls";

export const BOT = "5511999990001";
export const CUSTOMER = "5511999990002";

export async function start(...options) {
  const program = process.env.SIMULATOR ?? "waypost simulator";
  const [command, ...first] = program.split(" ");
  const args = [...first, "--port", "0", "--json", "--media-tls"];
  args.push("--account", `${BOT}=Bot`, "--account", `${CUSTOMER}=Mia`, ...options);
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await once(createInterface(child.stdout), "line");
  const places = JSON.parse(line);
  const call = async (method, path, body) => {
    const answer = await fetch(places.control + path, {
      method,
      headers: { "content-type": "application/json" },
      body: body && JSON.stringify(body),
    });
    const bytes = Buffer.from(await answer.arrayBuffer());
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${bytes}`);
    return answer.headers.get("content-type")?.includes("json") ? JSON.parse(bytes) : bytes;
  };
  return {
    ...places,
    get: (path) => call("GET", path),
    post: (path, body) => call("POST", path, body ?? {}),
    inbox: (phone, count) => call("GET", `/accounts/${phone}/inbox?at_least=${count}&wait_ms=20000`),
    stop: () => child.kill(),
  };
}

// Clients download from WhatsApp's own media host whatever the server names: those connections go to the simulator.
export function mediaFrom(places) {
  const { hostname, port } = new URL(places.media);
  const connect = tls.connect;
  tls.connect = (options, ...rest) => {
    const asked = options.servername || options.host;
    if (asked === "mmg.whatsapp.net" || `${options.host}` === hostname) {
      options = { ...options, host: hostname, port, ca: places.mediaCertificate, socket: undefined };
    }
    return connect(options, ...rest);
  };
  syncBuiltinESMExports();
}

export class Scenarios {
  failed = 0;

  async run(name, doing, limit = 30_000) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error("took too long")), limit);
    });
    try {
      await Promise.race([doing(), late]);
      console.log(`ok      ${name}`);
    } catch (error) {
      this.failed += 1;
      console.log(`not ok  ${name}: ${error.message.split("\n")[0]}`);
    } finally {
      clearTimeout(timer);
    }
  }

  async record(network) {
    const record = await network.get("/record");
    for (const list of ["unknown", "unanswered", "unreadable"]) {
      for (const entry of new Set(record[list])) {
        this.failed += 1;
        console.log(`not ok  the network's record: ${list}: ${entry}`);
      }
    }
  }
}
