import { defineConfig } from "vitest/config";

export default defineConfig({
  test: { include: ["{shared,portal,viewer}/**/*.test.ts"], environment: "node" },
});
