"""Drives a stock pyaileys against the simulator. SIMULATOR is its command, STATE an empty folder."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import urllib.request

BOT, CUSTOMER = "5511999990001", "5511999990002"
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6364f8cf"
    "500f00038601805a347d6b0000000049454e44ae426082"
)
simulator = os.environ.get("SIMULATOR", "waypost simulator").split()
process = subprocess.Popen(
    [*simulator, "--port", "0", "--json", "--media-tls"]
    + ["--account", f"{BOT}=Bot", "--account", f"{CUSTOMER}=Mia"],
    stdout=subprocess.PIPE,
    text=True,
)
places = json.loads(process.stdout.readline())

# Its TLS trusts what this variable names; read before the first connection.
with tempfile.NamedTemporaryFile("w", suffix=".pem", delete=False) as certificate:
    certificate.write(places["mediaCertificate"])
os.environ["SSL_CERT_FILE"] = certificate.name

import pyaileys.crypto.noise as noise  # noqa: E402
import pyaileys.media as media  # noqa: E402
from pyaileys import WhatsAppClient  # noqa: E402
from pyaileys.socket_config import SocketConfig  # noqa: E402

# It holds WhatsApp's root and media host as constants of its modules.
noise.WA_CERT_PUBLIC_KEY = bytes.fromhex(places["root"])
media._DEF_HOST = places["media"].removeprefix("https://")


def ask(path, body=None):
    """One request to the control surface, outside the event loop."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        places["control"] + path, data, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        content = answer.read()
        is_json = "json" in (answer.headers.get("content-type") or "")
        return json.loads(content) if is_json else content


async def control(path, body=None):
    return await asyncio.to_thread(ask, path, body)


class Bot:
    def __init__(self):
        self.changed = asyncio.Event()
        self.qr = None
        self.online = False
        self.messages = []
        self.task = None

    async def connect(self):
        config = SocketConfig(ws_url=places["chat"])
        self.client, self.state = await WhatsAppClient.from_auth_folder(
            os.environ["STATE"] + "/py", socket=config
        )
        self.client.on("connection.update", self.on_update)
        self.client.on("message.decrypted", self.on_message)
        self.client.on("messages.upsert", self.on_message)
        self.client.on("creds.update", self.on_creds)
        await self.client.connect()

    async def on_creds(self, *_):
        await self.state.save_creds()

    async def on_update(self, update):
        self.qr = getattr(update, "qr", None) or self.qr
        connection = getattr(update, "connection", None)
        if connection:
            self.online = connection == "open"
        self.changed.set()

    async def on_message(self, message):
        self.messages.append(message)
        self.changed.set()

    async def until(self, holds):
        while not holds():
            self.changed.clear()
            await self.changed.wait()
        return holds()

    async def text(self, text):
        return await self.until(lambda: next((m for m in self.messages if text in str(m)), None))


failed = 0


async def scenario(name, doing):
    global failed
    try:
        await asyncio.wait_for(doing(), 30)
        print(f"ok      {name}")
    except Exception as error:  # noqa: BLE001
        failed += 1
        print(f"not ok  {name}: {error!r}"[:300])


async def main():
    global failed
    bot = Bot()
    chat = f"{CUSTOMER}@s.whatsapp.net"

    async def link():
        await bot.connect()
        await bot.until(lambda: bot.qr)
        await control(f"/accounts/{BOT}/scan-qr", {"qr": bot.qr})
        await bot.until(lambda: bot.online)

    async def receive():
        await control(f"/accounts/{CUSTOMER}/send", {"to": BOT, "text": "hello bot"})
        await bot.text("hello bot")

    async def send():
        await bot.client.send_text(chat, "hello customer", wait_ack=True)
        inbox = await control(f"/accounts/{CUSTOMER}/inbox?at_least=1&wait_ms=20000")
        assert [m["text"] for m in inbox] == ["hello customer"], inbox

    async def picture():
        await bot.client.send_image(chat, PIXEL, mimetype="image/png")
        inbox = await control(f"/accounts/{CUSTOMER}/inbox?at_least=2&wait_ms=20000")
        assert inbox[-1]["kind"] == "image", inbox
        file = await control(f"/accounts/{CUSTOMER}/inbox/{inbox[-1]['id']}/file")
        assert file == PIXEL, len(file)

    async def group():
        made = await control(
            f"/accounts/{CUSTOMER}/groups", {"subject": "Cake", "members": [BOT]}
        )
        await control(f"/accounts/{CUSTOMER}/send", {"to": made["group"], "text": "hello group"})
        await bot.text("hello group")
        await bot.client.send_text(made["group"], "hello all")
        inbox = await control(f"/accounts/{CUSTOMER}/inbox?at_least=3&wait_ms=20000")
        assert (inbox[-1]["group"], inbox[-1]["text"]) == (made["group"], "hello all"), inbox

    async def away():
        await bot.client.disconnect()
        await control(f"/accounts/{CUSTOMER}/send", {"to": BOT, "text": "while you were away"})
        await bot.connect()
        await bot.text("while you were away")

    await scenario("links by QR code", link)
    await scenario("receives a text", receive)
    await scenario("sends a text", send)
    await scenario("sends a picture", picture)
    await scenario("talks in a group", group)
    await scenario("gets what came while it was away", away)
    record = await control("/record")
    for kind in ["unknown", "unanswered", "unreadable"]:
        for entry in sorted(set(record[kind])):
            failed += 1
            print(f"not ok  the network's record: {kind}: {entry}")
    try:
        await asyncio.wait_for(bot.client.disconnect(), 5)
    except Exception:  # noqa: BLE001
        pass


try:
    asyncio.run(main())
finally:
    process.terminate()
    os.unlink(certificate.name)
sys.exit(1 if failed else 0)
