// Ctrl+Alt+Shift, pressed and released with nothing else, shows the toolbar: every other key goes to
// the desktop. The desktop has seen all three go up again by then.

const KEYS = ["Control", "Alt", "Shift"];
/** With Shift held, some systems name Alt "Meta". */
const ALIASES: Record<string, string> = { Meta: "Alt" };

export class Chord {
  private down = new Set<string>();
  private complete = false;
  private spoilt = false;

  keydown(key: string): void {
    const name = ALIASES[key] ?? key;
    if (!KEYS.includes(name)) this.spoilt = true;
    else this.down.add(name);
    if (this.down.size === KEYS.length) this.complete = true;
  }

  /** Whether this was the end of the chord. */
  keyup(key: string): boolean {
    this.down.delete(ALIASES[key] ?? key);
    if (this.down.size > 0) return false;
    const hit = this.complete && !this.spoilt;
    this.reset();
    return hit;
  }

  /** For when the window loses the keyboard and key-ups go elsewhere. */
  reset(): void {
    this.down.clear();
    this.complete = false;
    this.spoilt = false;
  }
}
