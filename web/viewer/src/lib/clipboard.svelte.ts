// The clipboard, both ways. Where the browser allows it, it follows by itself; where not, the
// panel's text field is the way.

export class Clipboard {
  /** What the panel shows: the desktop's clipboard, or what the person typed for it. */
  text = $state("");
  /** Whether this computer's clipboard may be read without asking. */
  follows = $state(false);
  /** INVARIANT: what both sides are known to hold, so that nothing is sent back where it came from. */
  private common: string | null = null;

  constructor(private readonly send: (text: string) => void) {
    void this.watch();
  }

  /** The desktop's clipboard has changed. */
  fromDesktop(text: string): void {
    this.text = text;
    this.common = text;
    if (!document.hasFocus()) return;
    // Refused without a permission or a recent click: the panel has it all the same.
    void navigator.clipboard?.writeText(text).catch(() => undefined);
  }

  /** The person wrote into the panel. */
  toDesktop(text: string): void {
    this.text = text;
    if (text === this.common) return;
    this.common = text;
    this.send(text);
  }

  /** Looks whether this computer's clipboard has changed; does nothing where that would ask the person. */
  async look(): Promise<void> {
    if (this.follows && document.hasFocus()) await this.read();
  }

  /** Reads this computer's clipboard, and may ask the person for permission. */
  async read(): Promise<void> {
    const text = await navigator.clipboard?.readText().catch(() => null);
    if (text) this.toDesktop(text);
  }

  /** Forgets what the desktop holds: it is another connection now. */
  reset(): void {
    this.common = null;
  }

  private async watch(): Promise<void> {
    // Firefox and Safari do not know this name, and would ask at every reading.
    const name = "clipboard-read" as PermissionName;
    const permission = await navigator.permissions?.query({ name }).catch(() => null);
    if (!permission) return;
    const update = () => (this.follows = permission.state === "granted");
    permission.addEventListener("change", update);
    update();
  }
}
