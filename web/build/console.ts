import { defineConfig } from "vite";
import { page } from "./page.ts";

export default defineConfig(page("console"));
