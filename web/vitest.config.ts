import { defineConfig } from "vitest/config";

export default defineConfig({
  test: { include: ["{shared,portal,viewer,console}/**/*.test.ts"], environment: "node" },
});
