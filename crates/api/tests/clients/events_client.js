// A stock client, led line by line: a line of standard input is a message to send, or null to disconnect; each line of
// standard output is what happened.
const { io } = require("socket.io-client");
const { url, transports, auth, headers } = JSON.parse(process.argv[2]);

const say = (what, value) => console.log(JSON.stringify([what, value ?? null]));
const socket = io(url + "/events", { transports, auth, extraHeaders: headers, reconnection: false });
socket.io.on("open", () => socket.io.engine.on("upgrade", (transport) => say("upgrade", transport.name)));
socket.on("connect", () => say("connect", socket.io.engine.transport.name));
socket.on("connect_error", (error) => say("connect_error", error.message));
socket.on("message", (message) => say("message", message));
socket.on("disconnect", (reason) => say("disconnect", reason));

require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const sent = JSON.parse(line);
  if (sent === null) socket.disconnect();
  else if (sent === "bare") socket.emit("message");
  else socket.emit("message", sent);
});
