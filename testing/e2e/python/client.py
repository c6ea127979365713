"""A session seen and worked by vncdotool, a VNC library.

Reads {"port", "password", "key", "before", "after"} from standard input; writes the screen's pixels
(RGBA) to the file `before`, presses the key, and writes them again, to `after`, each time the
screen has changed, until standard input ends. Says on standard output: the screen's size, then
"again" after each writing.
"""

import json
import os
import sys
import threading

from vncdotool import api


def write(client, path):
    client.refreshScreen()
    with open(path + "~", "wb") as file:
        file.write(client.screen.convert("RGBA").tobytes())
    os.replace(path + "~", path)


def main():
    task = json.loads(sys.stdin.readline())
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    client = api.connect(f"127.0.0.1::{task['port']}", password=task["password"], timeout=30)
    write(client, task["before"])
    print(*client.screen.size, flush=True)
    client.keyPress(task["key"])
    while not ended.is_set():
        write(client, task["after"])
        print("again", flush=True)
    client.disconnect()
    api.shutdown()


main()
