// One connection to the session: a WebSocket with noVNC on it.

import type RFB from "@novnc/novnc";

export interface Handlers {
  up: () => void;
  /** Called once, whoever ended the line; `still` is its last frame. */
  down: (code: number, still: HTMLCanvasElement | null) => void;
  clipboard: (text: string) => void;
}

export interface View {
  viewOnly: boolean;
  fit: Fit;
}

/** How the desktop meets the window: it takes the window's size, is scaled, or is scrolled. */
export type Fit = "resize" | "scale" | "actual";

/** How long the WebSocket and the RFB handshake may take together. */
const UP_WITHIN = 8000;
/** Reported when the line came to nothing without the agent closing it. */
const GAVE_UP = 1006;

export class Line {
  private readonly rfb: RFB;
  private readonly socket: WebSocket;
  private timer: ReturnType<typeof setTimeout>;
  private over = false;
  /** When the last byte came; ms as of `performance.now()`. */
  heard = performance.now();

  constructor(
    Rfb: typeof RFB,
    private readonly target: HTMLElement,
    url: string,
    view: View,
    private readonly handlers: Handlers,
  ) {
    this.socket = new WebSocket(url, ["binary"]);
    // Ours comes before noVNC's, which takes its canvas away; and noVNC keeps the code to itself.
    this.socket.addEventListener("close", (event) => this.finish(event.code));
    this.socket.addEventListener("message", () => (this.heard = performance.now()));
    this.rfb = new Rfb(target, this.socket, { shared: true });
    this.rfb.background = "transparent";
    this.rfb.qualityLevel = 8;
    this.rfb.compressionLevel = 2;
    this.rfb.showDotCursor = true;
    this.rfb.clipViewport = false;
    this.show(view);
    this.rfb.addEventListener("connect", () => {
      clearTimeout(this.timer);
      if (!this.over) handlers.up();
    });
    this.rfb.addEventListener("securityfailure", () => this.close());
    this.rfb.addEventListener("clipboard", (event) => handlers.clipboard(event.detail.text));
    this.rfb.addEventListener("disconnect", () => this.finish(GAVE_UP));
    this.timer = setTimeout(() => this.close(), UP_WITHIN);
  }

  show(view: View): void {
    this.rfb.viewOnly = view.viewOnly;
    this.rfb.scaleViewport = view.fit !== "actual";
    this.rfb.resizeSession = view.fit === "resize" && !view.viewOnly;
  }

  close(): void {
    if (this.over) return;
    this.finish(GAVE_UP);
    this.rfb.disconnect();
  }

  focus(): void {
    this.rfb.focus({ preventScroll: true });
  }

  ctrlAltDel(): void {
    this.rfb.sendCtrlAltDel();
  }

  paste(text: string): void {
    this.rfb.clipboardPasteFrom(text);
  }

  private finish(code: number): void {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.timer);
    this.handlers.down(code, still(this.target));
  }
}

/** A copy of the picture, of the same size on the screen. */
function still(target: HTMLElement): HTMLCanvasElement | null {
  const picture = target.querySelector("canvas");
  if (!picture || picture.width === 0 || picture.height === 0) return null;
  const copy = document.createElement("canvas");
  copy.width = picture.width;
  copy.height = picture.height;
  copy.style.width = picture.style.width;
  copy.style.height = picture.style.height;
  copy.getContext("2d")?.drawImage(picture, 0, 0);
  return copy;
}
