# A stock client, led line by line as the one in JavaScript.
import json
import sys
import threading

import socketio

asked = json.loads(sys.argv[1])
client = socketio.Client(reconnection=False)


# The client calls handlers in threads of their own, and `print` writes a text and its line's end apart.
saying = threading.Lock()


def say(what, value=None):
    with saying:
        print(json.dumps([what, value]), flush=True)


client.on("message", lambda message: say("message", message), namespace="/events")
client.on("disconnect", lambda *reason: say("disconnect", None), namespace="/events")
client.connect(
    asked["url"],
    auth=asked["auth"],
    headers=asked["headers"],
    namespaces=["/events"],
    transports=asked["transports"],
)
say("connect", client.transport())
for line in sys.stdin:
    sent = json.loads(line)
    if sent is None:
        client.disconnect()
        break
    client.emit("message", sent, namespace="/events")
