// A display that can be looked at: RFB 3.8 (RFC 6143) with a drawn picture and a block that moves.
// Typed keys become stripes; the size follows the viewer's window.

const NAME = "mock desktop";
const EXTENDED_DESKTOP_SIZE = -308;
const FRAME_EVERY = 50;

/** What all viewers of one session see. */
export class Desktop {
  width = 1024;
  height = 640;
  keys = [];
  /** Text that a viewer put into the clipboard. */
  clipboard = null;

  /** RGBX of the rectangle. */
  pixels(x0, y0, w, h, tick) {
    const out = Buffer.alloc(w * h * 4);
    const block = this.block(tick);
    for (let y = 0; y < h; y++) {
      for (let x = 0; x < w; x++) {
        this.#colour(out, (y * w + x) * 4, x0 + x, y0 + y, block);
      }
    }
    return out;
  }

  block(tick) {
    const size = 48;
    return { x: (tick * 8) % Math.max(1, this.width - size), y: this.height >> 1, size };
  }

  #colour(out, at, x, y, block) {
    if (x >= block.x && x < block.x + block.size && y >= block.y && y < block.y + block.size) {
      return void (out[at] = 240, out[at + 1] = 180, out[at + 2] = 60);
    }
    if (y < 28) return void (out[at] = out[at + 1] = out[at + 2] = 36);
    if (y > this.height - 60 && x < this.keys.length * 12 && x % 12 < 8) return void (out[at] = out[at + 1] = out[at + 2] = 250);
    out[at] = 30 + ((x * 60) / this.width);
    out[at + 1] = 70 + ((y * 60) / this.height);
    out[at + 2] = 110 + (((x + y) * 60) / (this.width + this.height));
  }
}

/** Serves one viewer of `desktop` over a WebSocket. */
export class RfbServer {
  constructor(peer, desktop) {
    this.peer = peer;
    this.desktop = desktop;
    this.rest = Buffer.alloc(0);
    this.tick = 0;
    this.state = this.version;
    this.shown = null;
    /** Whether the next change of size is this viewer's own: 1, else 0. */
    this.asked = 0;
    peer.on("message", (bytes) => this.#take(bytes));
    peer.on("close", () => clearTimeout(this.timer));
    peer.send(Buffer.from("RFB 003.008\n"));
  }

  cutText(text) {
    const body = Buffer.from(text, "latin1");
    const head = Buffer.alloc(8);
    head[0] = 3;
    head.writeUInt32BE(body.length, 4);
    this.peer.send(Buffer.concat([head, body]));
  }

  // One method for each state of the protocol; each is given one whole message.

  version() {
    this.peer.send(Buffer.from([1, 1]));
    this.state = this.security;
  }

  security() {
    this.peer.send(Buffer.alloc(4));
    this.state = this.clientInit;
  }

  clientInit() {
    const init = Buffer.alloc(24);
    init.writeUInt16BE(this.desktop.width, 0);
    init.writeUInt16BE(this.desktop.height, 2);
    Buffer.from([32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 0, 8, 16]).copy(init, 4);
    init.writeUInt32BE(NAME.length, 20);
    this.peer.send(Buffer.concat([init, Buffer.from(NAME)]));
    this.state = this.message;
  }

  message(data) {
    const { desktop } = this;
    if (data[0] === 3) this.#update(data[1] === 1);
    if (data[0] === 4 && data[1] === 1) desktop.keys.push(data.readUInt32BE(4));
    if (data[0] === 6) desktop.clipboard = data.toString("latin1", 8);
    if (data[0] === 251) {
      desktop.width = data.readUInt16BE(2);
      desktop.height = data.readUInt16BE(4);
      this.asked = 1;
    }
  }

  #take(bytes) {
    this.rest = Buffer.concat([this.rest, bytes]);
    while (this.rest.length > 0) {
      const need = this.#length();
      if (need === 0 || this.rest.length < need) return;
      const message = this.rest.subarray(0, need);
      this.rest = this.rest.subarray(need);
      this.state(message);
    }
  }

  /** The length of the message at the front, or 0 while that cannot be told. */
  #length() {
    if (this.state === this.version) return 12;
    if (this.state !== this.message) return 1;
    const { rest } = this;
    const fixed = { 0: 20, 3: 10, 4: 8, 5: 6 }[rest[0]];
    if (fixed) return fixed;
    if (rest[0] === 2) return rest.length < 4 ? 0 : 4 + 4 * rest.readUInt16BE(2);
    if (rest.length < 8) return 0;
    // A negative length is the extended clipboard's, which this display has not offered.
    if (rest[0] === 6) return 8 + rest.readUInt32BE(4);
    if (rest[0] === 251) return 8 + 16 * rest[6];
    this.peer.cut();
    return 0;
  }

  #update(incremental) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#send(incremental), incremental ? FRAME_EVERY : 0);
  }

  #send(incremental) {
    const { width, height } = this.desktop;
    const size = `${width}x${height}`;
    const rects = [];
    if (this.shown !== size) {
      rects.push(this.#size(this.asked));
      this.asked = 0;
      incremental = false;
      this.shown = size;
    }
    if (incremental) {
      const before = this.desktop.block(this.tick++);
      const after = this.desktop.block(this.tick);
      rects.push(this.#raw(before.x, before.y, before.size, before.size), this.#raw(after.x, after.y, after.size, after.size));
      rects.push(this.#raw(0, height - 60, width, 60));
    } else {
      rects.push(this.#raw(0, 0, width, height));
    }
    const head = Buffer.alloc(4);
    head.writeUInt16BE(rects.length, 2);
    this.peer.send(Buffer.concat([head, ...rects]));
  }

  #rect(x, y, w, h, encoding) {
    const rect = Buffer.alloc(12);
    [x, y, w, h].forEach((value, i) => rect.writeUInt16BE(value, 2 * i));
    rect.writeInt32BE(encoding, 8);
    return rect;
  }

  #raw(x, y, w, h) {
    return Buffer.concat([this.#rect(x, y, w, h, 0), this.desktop.pixels(x, y, w, h, this.tick)]);
  }

  #size(reason) {
    const { width, height } = this.desktop;
    const screens = Buffer.alloc(20);
    screens[0] = 1;
    screens.writeUInt16BE(width, 12);
    screens.writeUInt16BE(height, 14);
    return Buffer.concat([this.#rect(reason, 0, width, height, EXTENDED_DESKTOP_SIZE), screens]);
  }
}
