"""Tests a small bot on a simulated WhatsApp network. Only the standard library; run it with

    WAYPOST=target/release/waypost python3 test_bot.py
"""

import json
import os
import subprocess
import tempfile
import threading
import unittest
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CUSTOMER = "4917012340001"
HOST = "4917012340002"
GUEST = "4917012340003"


def call(method, url, body=None, key=None):
    """One request with a JSON answer."""
    headers = {"Content-Type": "application/json"}
    if key:
        headers["X-API-Key"] = key
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


class Bot:
    """What is tested: it answers "hours?", and confirms orders with a reaction."""

    def __init__(self, waypost, session):
        self.messages = f"{waypost['api']}/sessions/{session['id']}/messages"
        self.key = waypost["apiKey"]
        bot = self

        class Webhook(BaseHTTPRequestHandler):
            def do_POST(self):
                length = int(self.headers["Content-Length"])
                bot.on_event(json.loads(self.rfile.read(length)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{self.server.server_port}/"
        hook = {"url": url, "events": ["message.received"]}
        call("POST", f"{waypost['api']}/sessions/{session['id']}/webhooks", hook, self.key)

    def on_event(self, event):
        message = event["data"]
        text = message.get("body") or ""
        if text == "hours?":
            answer = {"chatId": message["chatId"], "text": "Open from 7 to 18."}
            call("POST", f"{self.messages}/send-text", answer, self.key)
        elif text.startswith("order "):
            reaction = {"chatId": message["chatId"], "messageId": message["id"], "emoji": "👍"}
            call("POST", f"{self.messages}/react", reaction, self.key)


class BotTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        command = [os.environ.get("WAYPOST", "waypost"), "sandbox", "--numbers", "1", "--json"]
        command += ["--port", "0", "--dir", cls.folder.name]
        cls.sandbox = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        # One line, when everything is up.
        cls.waypost = json.loads(cls.sandbox.stdout.readline())
        cls.session = cls.waypost["sessions"][0]
        cls.bot = Bot(cls.waypost, cls.session)
        for phone, name in [(CUSTOMER, "Mia"), (HOST, "Jan"), (GUEST, "Ida")]:
            cls.person("accounts", {"phone": phone, "name": name})

    @classmethod
    def tearDownClass(cls):
        cls.sandbox.terminate()
        cls.sandbox.wait()
        cls.bot.server.shutdown()
        cls.folder.cleanup()

    @classmethod
    def person(cls, path, body=None):
        method = "GET" if body is None else "POST"
        return call(method, f"{cls.waypost['control']}/{path}", body)

    def inbox(self, phone, count):
        return self.person(f"accounts/{phone}/inbox?at_least={count}&wait_ms=30000")

    def test_a_question_is_answered_and_an_order_confirmed(self):
        bot = self.session["phone"]
        self.person(f"accounts/{CUSTOMER}/send", {"to": bot, "text": "hours?"})
        answer = self.inbox(CUSTOMER, 1)[0]
        self.assertEqual(answer["text"], "Open from 7 to 18.")
        self.person(f"accounts/{CUSTOMER}/read", {"id": answer["id"]})

        order = self.person(f"accounts/{CUSTOMER}/send", {"to": bot, "text": "order one cake"})
        reaction = self.inbox(CUSTOMER, 2)[1]
        self.assertEqual((reaction["kind"], reaction["target"]), ("reaction", order["id"]))
        self.assertEqual(reaction["change"], "👍")

    def test_a_group_is_answered_in_the_group(self):
        members = [self.session["phone"]]
        new = {"subject": "Cake", "members": members}
        group = self.person(f"accounts/{HOST}/groups", new)["group"]
        invite = self.person(f"accounts/{HOST}/groups/{group}", {"action": "invite-code"})
        self.person(f"accounts/{GUEST}/join", {"code": invite["code"]})
        self.person(f"accounts/{GUEST}/send", {"to": group, "text": "hours?"})
        answer = next(m for m in self.inbox(GUEST, 1) if not m["from_me"])
        self.assertEqual((answer["group"], answer["text"]), (group, "Open from 7 to 18."))

    def test_nothing_the_bot_did_was_unknown_to_the_network(self):
        record = self.person("record")
        self.assertEqual((record["unknown"], record["unanswered"]), ([], []))


if __name__ == "__main__":
    unittest.main()
