// The server's half of RFC 6455, as far as a page test needs it: whole binary messages, no extensions.

import { createHash } from "node:crypto";
import { EventEmitter } from "node:events";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** Answers an upgrade request. Emits "message" (Buffer) and "close". */
export class WebSocketPeer extends EventEmitter {
  constructor(request, socket) {
    super();
    this.socket = socket;
    this.rest = Buffer.alloc(0);
    const accept = createHash("sha1").update(request.headers["sec-websocket-key"] + GUID).digest("base64");
    const head = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", `Sec-WebSocket-Accept: ${accept}`];
    if (request.headers["sec-websocket-protocol"]) head.push("Sec-WebSocket-Protocol: binary");
    socket.write(`${head.join("\r\n")}\r\n\r\n`);
    socket.on("data", (data) => this.#take(data));
    socket.on("error", () => undefined);
    socket.on("close", () => this.emit("close"));
  }

  send(bytes) {
    this.#frame(2, bytes);
  }

  close(code) {
    const body = Buffer.alloc(2);
    body.writeUInt16BE(code);
    this.#frame(8, body);
    this.socket.end();
  }

  /** Cuts the line without a word. */
  cut() {
    this.socket.destroy();
  }

  #frame(opcode, bytes) {
    const head = bytes.length < 126 ? Buffer.alloc(2) : bytes.length < 65_536 ? Buffer.alloc(4) : Buffer.alloc(10);
    head[0] = 0x80 | opcode;
    if (head.length === 2) head[1] = bytes.length;
    else if (head.length === 4) (head[1] = 126), head.writeUInt16BE(bytes.length, 2);
    else (head[1] = 127), head.writeBigUInt64BE(BigInt(bytes.length), 2);
    if (this.socket.writable) this.socket.write(Buffer.concat([head, bytes]));
  }

  #take(data) {
    this.rest = Buffer.concat([this.rest, data]);
    for (;;) {
      if (this.rest.length < 2) return;
      let length = this.rest[1] & 0x7f;
      let at = 2;
      if (length === 126) {
        if (this.rest.length < 4) return;
        length = this.rest.readUInt16BE(2);
        at = 4;
      } else if (length === 127) {
        if (this.rest.length < 10) return;
        length = Number(this.rest.readBigUInt64BE(2));
        at = 10;
      }
      if (this.rest.length < at + 4 + length) return;
      const mask = this.rest.subarray(at, at + 4);
      const body = Buffer.from(this.rest.subarray(at + 4, at + 4 + length));
      for (let i = 0; i < body.length; i++) body[i] ^= mask[i % 4];
      const opcode = this.rest[0] & 0x0f;
      this.rest = this.rest.subarray(at + 4 + length);
      if (opcode === 8) this.close(body.length >= 2 ? body.readUInt16BE(0) : 1000);
      else if (opcode === 9) this.#frame(10, body);
      else if (opcode < 3) this.emit("message", body);
    }
  }
}
