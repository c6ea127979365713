// noVNC ships no types. These are the parts of its API (docs/API.md, 1.7) that the viewer uses.

declare module "@novnc/novnc" {
  interface Options {
    shared?: boolean;
  }

  interface Events {
    connect: CustomEvent<object>;
    disconnect: CustomEvent<{ clean: boolean }>;
    securityfailure: CustomEvent<{ status: number; reason?: string }>;
    clipboard: CustomEvent<{ text: string }>;
    bell: CustomEvent<object>;
  }

  export default class RFB {
    constructor(target: HTMLElement, channel: WebSocket, options?: Options);
    viewOnly: boolean;
    clipViewport: boolean;
    scaleViewport: boolean;
    resizeSession: boolean;
    showDotCursor: boolean;
    background: string;
    qualityLevel: number;
    compressionLevel: number;
    addEventListener<K extends keyof Events>(type: K, listener: (event: Events[K]) => void): void;
    disconnect(): void;
    focus(options?: FocusOptions): void;
    sendCtrlAltDel(): void;
    clipboardPasteFrom(text: string): void;
  }
}
