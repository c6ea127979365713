// How a page is built. The result is checked in, so it must depend on nothing but its sources:
// no time, no path of the machine, names hashed by content.

import { fileURLToPath } from "node:url";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import licence from "rollup-plugin-license";
import type { UserConfig } from "vite";

/** The names of the pages, which are also their folders and the first part of their assets' path. */
export type PageName = "portal" | "viewer" | "console";

const folder = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));

/** The build of one page, from `<name>/index.html` to `dist/<name>/`. */
export function page(name: PageName): UserConfig {
  return {
    root: folder(name),
    base: `/${name}/`,
    publicDir: false,
    plugins: [svelte({ configFile: folder("svelte.config.js") })],
    build: {
      outDir: folder(`dist/${name}`),
      emptyOutDir: true,
      // noVNC finds out what the browser can decode with a top-level await.
      target: "es2022",
      // Both would need more than the pages' Content-Security-Policy allows.
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
      rollupOptions: {
        plugins: [
          licence({
            cwd: folder(""),
            thirdParty: { output: { file: folder(`dist/${name}/licences.txt`), template: licences } },
          }),
        ],
      },
    },
  };
}

interface Dependency {
  name: string | null;
  version: string | null;
  license: string | null;
  licenseText: string | null;
  repository: string | { url: string } | null;
}

/** What the licences of the bundled libraries ask to be passed on, and where their sources are. */
function licences(dependencies: Dependency[]): string {
  const part = (it: Dependency) => {
    const source = typeof it.repository === "string" ? it.repository : (it.repository?.url ?? "");
    const text = (it.licenseText ?? "").replaceAll("\r\n", "\n").trim();
    return `${it.name} ${it.version}\nLicence: ${it.license}\nSource: ${source}\n\n${text}\n`;
  };
  const sorted = [...dependencies].sort((a, b) => (a.name ?? "").localeCompare(b.name ?? "", "en"));
  return sorted.map(part).join(`\n${"-".repeat(80)}\n\n`);
}
